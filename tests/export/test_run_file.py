"""A run as one file: it goes from store to store unchanged, and what is no whole file changes nothing."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from agentbench.core.attempt import Attempt, Label
from agentbench.core.errors import UserError
from agentbench.export.run_file import read_run_file, write_run_file
from agentbench.store import Store, open_store
from agentbench.testing.store_samples import EPOCH, a_case, a_failed_attempt, a_run, an_attempt
from tests.store.strategies import attempts
from tests.store.test_store import round_trips


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "here.db")) as store:
        store.create_run(a_run(environment={"git_commit": "abc", "passed_by": ["human"]}, status="finished"))
        store.add_attempt("run-1", an_attempt("paris", 0), a_case("paris"))
        store.add_attempt("run-1", an_attempt("paris", 1, passed=None), a_case("paris", expected="it changed"))
        store.add_attempt("run-1", a_failed_attempt("rome"), a_case("rome"))
        label = Label(case_id="paris", repeat=1, reviewer="ann", passed=True, comment="so so", created_at=EPOCH)
        store.add_label("run-1", label)
        yield store


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "there.db")) as store:
        yield store


@pytest.fixture
def file(here: Store, tmp_path: Path) -> Path:
    path = tmp_path / "run-1.agentbench"
    assert write_run_file(here, here.get_run("run-1"), path) == {"cases": 3, "attempts": 3, "labels": 1}
    return path


def lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def rewritten(path: Path, content: list[bytes]) -> None:
    path.write_bytes(gzip.compress(b"".join(content)))


def test_a_run_comes_over_whole(here: Store, there: Store, file: Path) -> None:
    run, _, new = read_run_file(file, there)
    assert new
    assert run == there.get_run("run-1") == here.get_run("run-1")
    assert there.attempts("run-1") == here.attempts("run-1")
    assert list(there.attempts_with_cases("run-1", decided=False)) == list(
        here.attempts_with_cases("run-1", decided=False)
    )
    assert there.labels("run-1") == here.labels("run-1")
    assert there.case("run-1", "paris").expected == "it changed"


def test_the_same_run_again_changes_nothing(there: Store, file: Path) -> None:
    read_run_file(file, there)
    assert not read_run_file(file, there)[2]
    assert len(there.attempts("run-1")) == 3


def test_a_run_that_differs_is_not_replaced(here: Store, there: Store, file: Path) -> None:
    there.create_run(a_run())
    with pytest.raises(UserError, match=r"run run-1 is in this store with another content \(0 attempts here, 3 in the"):
        read_run_file(file, there)
    assert there.attempts("run-1") == []


@pytest.mark.long
@round_trips
@given(attempt=attempts)
def test_any_attempt_comes_over(here: Store, there: Store, tmp_path: Path, attempt: Attempt) -> None:
    path = tmp_path / "any.agentbench"
    run = a_run(f"any-{len(here.list_runs())}")
    here.create_run(run)
    here.add_attempt(run.id, attempt, a_case(attempt.case_id))
    write_run_file(here, run, path, force=True)
    read_run_file(path, there)
    assert there.attempts(run.id) == [attempt]


@pytest.mark.parametrize("kept", [0, 1, 2, 4, 7])
def test_a_file_that_was_cut_at_a_line_changes_nothing(file: Path, there: Store, kept: int) -> None:
    rewritten(file, lines(file)[:kept])
    with pytest.raises(UserError, match="cut off"):
        read_run_file(file, there)
    assert there.list_runs() == []


def test_a_file_that_was_cut_anywhere_changes_nothing(file: Path, there: Store) -> None:
    content = file.read_bytes()
    for end in range(0, len(content) - 1, 97):
        file.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"run-1\.agentbench: (line \d+: )?it (was cut off|is no run file)"):
            read_run_file(file, there)
    assert there.list_runs() == []


def changed(file: Path, number: int, old: bytes, new: bytes) -> None:
    content = lines(file)
    assert old in content[number]
    rewritten(file, [*content[:number], content[number].replace(old, new), *content[number + 1 :]])


@pytest.mark.parametrize(
    ("number", "old", "new", "message"),
    [
        (0, b'"agentbench_run":1', b'"agentbench_run":2', "line 1: it has version 2, and this .* upgrade it"),
        (0, b'"agentbench_run":1,', b"", "line 1: it is no run file"),
        (0, b'"repeats":2', b'"repeats":"two"', "line 1: repeats: Input should be a valid integer"),
        (1, b'"id":"paris"', b'"id":"oslo"', "line 3: its case 'paris' is on no earlier line"),
        (2, b'"repeat":0', b'"repeat":5', "checksum"),
        (2, b'"kind":"model_call"', b'"kind":"other"', "line 3: it is damaged"),
        (4, b'"repeat":1', b'"repeat":0', "line 5: case 'paris', repeat 0 is there twice"),
        (5, b'{"case":', b'{"what":', "line 6: it is none of run, case, attempt, label and end"),
        (7, b'"passed":true', b'"passed":[]', "line 8: passed: "),
        (8, b'"attempts": 3', b'"attempts": 4', "checksum"),
    ],
)
def test_a_file_that_was_changed_changes_nothing(
    file: Path, there: Store, number: int, old: bytes, new: bytes, message: str
) -> None:
    changed(file, number, old, new)
    with pytest.raises(UserError, match=message):
        read_run_file(file, there)
    assert there.list_runs() == []


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", gzip.compress(b"[1]\n"), gzip.compress(b"[" * 100_000 + b"\n")],
    ids=["nothing", "text", "other JSON", "nested too deep"],
)
def test_another_file_is_told_apart(tmp_path: Path, there: Store, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"other: (line \d+: )?it "):
        read_run_file(path, there)
    with pytest.raises(UserError, match="there is no file"):
        read_run_file(tmp_path / "absent", there)


def test_an_existing_file_is_kept(here: Store, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(UserError, match="exists already; name another --out, or replace it with --force"):
        write_run_file(here, here.get_run("run-1"), file)
    assert write_run_file(here, here.get_run("run-1"), file, force=True)["attempts"] == 3
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.long
def test_attempts_are_read_in_parts(tmp_path: Path, there: Store) -> None:
    path = tmp_path / "many.agentbench"
    with open_store(str(tmp_path / "many.db")) as store:
        store.create_run(a_run())
        many = [
            (replace(an_attempt(f"case {number}"), started_at=number), a_case(f"case {number}"))
            for number in range(450)
        ]
        store.add_attempts("run-1", many)
        write_run_file(store, store.get_run("run-1"), path)
    read_run_file(path, there)
    assert list(there.attempts_with_cases("run-1")) == many
    assert json.loads(lines(path)[-1])["end"]["attempts"] == 450
