"""A run as tables, in each format."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from agentbench.core.attempt import Label, Score
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace, UserTurn
from agentbench.export.tables import TABLES, Format, export_tables
from agentbench.store import Store, open_store
from agentbench.testing.store_samples import EPOCH, a_case, a_failed_attempt, a_run, an_attempt

HOSTILE = 'a, "b"\r\n=1+1;\x00\ud800 ü'
ESCAPED = 'a, "b"\r\n=1+1;\ufdd00000\ufdd0d800 ü'
ANCHOR = 1_767_323_045_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(str(tmp_path / "a.db")) as store:
        store.create_run(a_run(environment={"passed_by": ["human"]}))
        store.add_attempt("run-1", an_attempt("paris"), a_case("paris"))
        turn = UserTurn(messages=({"role": "user", "content": HOSTILE},), state={"n": 1}, started_at=5, ended_at=9)
        waiting = Score(name="human", value=0.0, passed=None, reason=HOSTILE)
        talk = an_attempt("oslo", trace=Trace(steps=(turn,), output=HOSTILE), scores=(waiting,), passed=None)
        store.add_attempt("run-1", talk, a_case("oslo"))
        store.add_attempt("run-1", a_failed_attempt("rome"), a_case("rome"))
        label = Label(case_id="oslo", repeat=0, reviewer="ann", passed=True, created_at=EPOCH)
        store.add_label("run-1", label)
        yield store


Rows = list[dict[str, Any]]


def read_parquet(path: Path) -> Rows:
    found: Rows = parquet.read_table(path).to_pylist()
    return found


def read_csv(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text().splitlines()]


READ: Mapping[Format, Callable[[Path], Rows]] = {"parquet": read_parquet, "csv": read_csv, "jsonl": read_jsonl}


@pytest.fixture(params=READ)
def tables(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> tuple[Format, Mapping[str, Rows]]:
    form: Format = request.param
    out = tmp_path / "out"
    counts = export_tables(store, store.get_run("run-1"), form, out)
    found = {name: READ[form](out / f"{name}.{form}") for name in TABLES}
    assert {name: len(rows) for name, rows in found.items()} == counts
    return form, found


def test_every_table_has_its_rows_and_columns(tables: tuple[Format, Mapping[str, Rows]]) -> None:
    form, found = tables
    counts = {"attempts": 3, "model_calls": 2, "tool_calls": 1, "user_turns": 1, "scores": 2, "labels": 1}
    assert {name: len(rows) for name, rows in found.items()} == counts
    for name, rows in found.items():
        assert list(rows[0]) == [column.name for column in TABLES[name]]
    call = found["model_calls"][0]
    assert int(call["sent_at_ns"]) == ANCHOR + 1_000
    assert float(call["ttft_s"]) == pytest.approx(300e-9)
    chunks = call["chunk_at_ns"] if form == "jsonl" else json.loads(call["chunk_at_ns"])
    assert chunks == [ANCHOR + 1_300, ANCHOR + 1_800]


def test_hostile_text_comes_through(tables: tuple[Format, Mapping[str, Rows]]) -> None:
    form, found = tables
    said = {row["case_id"]: row for row in found["attempts"]}
    assert said["oslo"]["output"] == (HOSTILE if form == "jsonl" else ESCAPED)
    turn = found["user_turns"][0]["messages"]
    assert (turn if form == "jsonl" else json.loads(turn))[0]["content"] == HOSTILE


def test_verdicts_are_true_false_or_none(tables: tuple[Format, Mapping[str, Rows]]) -> None:
    form, found = tables
    true, none = ("true", "") if form == "csv" else (True, None)
    said = {row["case_id"]: row for row in found["attempts"]}
    assert [said[case]["passed"] for case in ("paris", "oslo", "rome")] == [true, true, none], "a label decided oslo"
    assert said["rome"]["failure_kind"] == "timeout"


@pytest.mark.long
@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "'", "1-1", "", "a=1", " =1"]
)
def test_a_spreadsheet_computes_no_cell_of_a_csv(store: Store, tmp_path: Path, text: str) -> None:
    store.create_run(a_run("hostile"))
    score = Score(name="exact", value=0.0, passed=False, reason=text)
    attempt = an_attempt(trace=Trace(output=text), scores=(score,), passed=False)
    store.add_attempt("hostile", attempt, a_case())
    for form in ("csv", "jsonl", "parquet"):
        export_tables(store, store.get_run("hostile"), form, tmp_path / form)
    told = read_csv(tmp_path / "csv" / "attempts.csv")[0]["output"]
    assert not told.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    assert (told[1:] if told.startswith("'") else told) == text
    assert read_csv(tmp_path / "csv" / "scores.csv")[0]["reason"] == told
    assert float(read_csv(tmp_path / "csv" / "scores.csv")[0]["value"]) == 0.0
    for form, read in (("jsonl", read_jsonl), ("parquet", read_parquet)):
        assert read(tmp_path / form / f"attempts.{form}")[0]["output"] == text


def test_what_is_there_is_kept(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        export_tables(store, store.get_run("run-1"), "csv", out)
    assert (out / "precious").read_text() == "mine"
    export_tables(store, store.get_run("run-1"), "csv", out, force=True)
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}.csv" for name in TABLES)


def test_nothing_is_left_half_written(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "attempts_with_cases", breaks)
    with pytest.raises(UserError, match=r"cannot write .*out: No space left on device"):
        export_tables(store, store.get_run("run-1"), "parquet", tmp_path / "out")
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"a.db"}
