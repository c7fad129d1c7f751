"""Which database is opened, its schema, and what is said of one that cannot be."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError
from agentbench.processes import identity
from agentbench.stats.calls import first_token_s, tpot_s, ttft_s
from agentbench.store import Store, open_store
from agentbench.store.database import migrations
from agentbench.store.migrations.revision import CURRENT, VERSION_TABLE
from agentbench.store.runs import find_run
from agentbench.store.tables import Base, RunRow
from agentbench.testing.store_samples import a_case, a_run, an_attempt


def refusal(url: str) -> str:
    with pytest.raises(UserError) as error:
        open_store(url)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_argument_wins_over_the_variable_over_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    open_store().close()
    assert Path("results/agentbench.db").exists()
    monkeypatch.setenv("AGENTBENCH_DB", "variable.db")
    open_store().close()
    assert Path("variable.db").exists()
    open_store("sqlite:///argument.db").close()
    assert Path("argument.db").exists()


def test_a_missing_store_is_not_made_for_a_reader(tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    with pytest.raises(UserError, match="there is no store at"):
        open_store(str(missing), create=False)
    assert not missing.exists()


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense://x"])
def test_a_url_we_cannot_store_in_is_refused(url: str) -> None:
    assert "a path of a SQLite file" in refusal(url)


def test_an_unreachable_server_is_named_without_the_password() -> None:
    message = refusal("postgresql://me:secret@127.0.0.1:1/name")
    assert "127.0.0.1:1/name" in message
    assert "refused" in message
    assert "secret" not in message


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot open the store" in refusal(str(tmp_path / "file" / "a.db"))
    assert "cannot open the store" in refusal(str(tmp_path))


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one " * 20)
    before = path.read_bytes()
    assert "not a database" in refusal(str(path))
    assert path.read_bytes() == before


def test_a_run_whose_process_was_killed_is_broken_off(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    child = "import json; from agentbench.processes import identity; print(json.dumps(identity()))"
    ended = json.loads(subprocess.run([sys.executable, "-c", child], capture_output=True, check=True).stdout)
    with open_store(path) as store:
        store.create_run(a_run("killed", environment=ended))
        store.create_run(a_run("done", environment=ended, case_ids=()))
        store.create_run(a_run("alive", environment=identity()))
        store.create_run(a_run("elsewhere", environment={**ended, "host": "another"}))
        assert store.get_run("killed").status == "running"
    with open_store(path, create=False) as store:
        found = {run.id: run.status for run in store.list_runs()}
    assert found == {"killed": "interrupted", "done": "finished", "alive": "running", "elsewhere": "running"}


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    assert f"'9999' is newer than this agentbench knows ('{CURRENT}'); upgrade agentbench" in refusal(str(path))


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE model_calls (other INTEGER)")
    connection.close()
    assert "tables of another program" in refusal(str(path))
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("model_calls",)]
    connection.close()


def test_a_sqlite_store_writes_ahead(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_store(str(path)) as store:
        store.create_run(a_run())
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def new(url: str) -> None:
    open_store(url).close()


def migrated(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(migrations(connection), "head")
    engine.dispose()


def check_schema(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [CURRENT]
    engine.dispose()


@pytest.mark.parametrize("make", [new, migrated])
def test_a_new_store_and_a_migrated_one_have_the_tables_that_are_mapped(
    make: Callable[[str], None], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    make(url)
    check_schema(url)


@pytest.mark.postgres
@pytest.mark.parametrize("make", [new, migrated])
def test_a_new_store_and_a_migrated_one_have_the_tables_that_are_mapped_on_postgresql(
    make: Callable[[str], None], postgresql_database: str
) -> None:
    make(postgresql_database)
    check_schema(postgresql_database)


def test_runs_of_an_earlier_version_are_of_the_kind_that_their_environment_says(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    engine = create_engine(f"sqlite:///{path}")
    environments = {"whole": "{}", "part": '{"selected_of": 9}', "again": '{"rerun_of": "x"}', "study": '{"study": {}}'}
    columns = "suite, suite_version, suite_path, suite_hash, config, config_hash, case_ids, repeats, label, status"
    with engine.begin() as connection:
        command.upgrade(migrations(connection), "0006")
        for run_id, environment in environments.items():
            values = (
                f"'{run_id}', '{environment}', '2026-01-02', 's', '1', '', '', '{{}}', '', '[\"a\"]', 1, '', 'finished'"
            )
            connection.exec_driver_sql(f"INSERT INTO runs (id, environment, created_at, {columns}) VALUES ({values})")
    engine.dispose()
    with open_store(str(path)) as store:
        kinds = {run_id: store.get_run(run_id).kind for run_id in environments}
        assert kinds == {"whole": "suite", "part": "part", "again": "rerun", "study": "study"}
        assert store.get_run("part").suite_cases == 9


def test_the_figures_of_a_run_of_an_earlier_version_are_derived_by_todays_rules(tmp_path: Path) -> None:
    """It has the chunks that showed something, at 350, 450 and 650 ms; two tokens had come with the first of them."""
    path = tmp_path / "a.db"
    with open_store(str(path)) as store:
        store.create_run(a_run())
        store.add_attempt("run-1", an_attempt(), a_case())
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE model_calls DROP COLUMN silent_chunks")
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0007'")
        connection.exec_driver_sql(
            "UPDATE model_calls SET sent_at = 0, chunk_at = '[350000000, 450000000, 650000000]',"
            " chunk_tokens = '[2, 1, 2]', completion_tokens = 5, error = NULL"
        )
    engine.dispose()
    with open_store(str(path)) as store:
        [attempt] = store.attempts("run-1")
        [measured] = store.measured_attempts("run-1")
    call = attempt.trace.model_calls[0]
    assert (call.chunk_at, call.chunk_tokens) == ((350_000_000, 450_000_000, 650_000_000), (2, 1, 2))
    assert (ttft_s(call), first_token_s(call), tpot_s(call)) == pytest.approx((0.350, 0.350, 0.100))
    assert tpot_s(measured.trace.model_calls[0]) == tpot_s(call)


def test_the_revision_known_without_alembic_is_the_newest(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert ScriptDirectory.from_config(migrations(connection)).get_heads() == [CURRENT]
    engine.dispose()


def test_a_file_that_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a snapshot?.db"
    with open_store(str(path)) as store:
        store.create_run(a_run("one"))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with open_store(str(path)) as store:
        assert store.get_run("one") == a_run("one")
        with pytest.raises(UserError, match=r"cannot write to the store .*readonly"):
            store.create_run(a_run("two"))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    path.with_name(f"{path.name}-wal").write_bytes(b"changes")
    assert "its last changes are still in" in refusal(str(path))


def damaged(tmp_path: Path, table: str) -> Path:
    """A store of three runs; the pages of a table are overwritten."""
    path = tmp_path / "a.db"
    with open_store(str(path)) as store:
        for name in ("one", "two", "three"):
            store.create_run(a_run(name))
            store.add_attempts(name, [(an_attempt(f"c{number}"), a_case(f"c{number}")) for number in range(30)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno", (table,)
        ).fetchall()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    for (page,) in pages[-1:]:
        content[(page - 1) * size : page * size] = b"\xa5" * size
    path.write_bytes(bytes(content))
    return path


def test_a_file_that_is_damaged_in_the_middle_is_told_in_one_line_with_what_can_be_read(tmp_path: Path) -> None:
    path = damaged(tmp_path, "attempts")
    with open_store(str(path)) as store, pytest.raises(UserError) as told:
        [store.attempts(name) for name in ("one", "two", "three")]
    message = str(told.value)
    assert "\n" not in message
    assert message.startswith(f"the store {path} is damaged (database disk image is malformed); 2 of its 3 runs can be")
    for advice in ("agentbench export RUN", ".recover", "PRAGMA integrity_check", "restore a backup"):
        assert advice in message


def test_writing_to_a_damaged_file_is_told_too(tmp_path: Path) -> None:
    path = damaged(tmp_path, "attempts")
    with open_store(str(path)) as store, pytest.raises(UserError, match="is damaged"):
        store.add_attempts("three", [(an_attempt("new"), a_case("new"))])


def test_a_damaged_list_of_runs_is_told_and_the_file_let_go(
    tmp_path: Path, open_connections: Callable[[], int]
) -> None:
    assert "the list of its runs can't be read" in refusal(str(damaged(tmp_path, "runs")))
    assert open_connections() == 0


def test_a_file_that_is_no_database_is_let_go(tmp_path: Path, open_connections: Callable[[], int]) -> None:
    path = tmp_path / "a.db"
    path.write_text("a text that is long enough to be read as the head of a file\n" * 20)
    assert "file is not a database" in refusal(str(path))
    assert open_connections() == 0


def test_a_store_whose_opening_is_interrupted_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_connections: Callable[[], int]
) -> None:
    def interrupted(store: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "settle_abandoned", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_store(str(tmp_path / "a.db"))
    assert open_connections() == 0


def test_a_thread_that_still_reads_when_the_store_is_closed_leaves_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_connections: Callable[[], int]
) -> None:
    reading, closed = threading.Event(), threading.Event()

    def slowly(session: Session, reference: str, suite: str | None) -> RunRow:
        found = find_run(session, reference, suite)
        reading.set()
        assert closed.wait(60)
        return found

    monkeypatch.setattr("agentbench.store.store.find_run", slowly)
    store = open_store(str(tmp_path / "a.db"))
    store.create_run(a_run())
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(store.get_run, "run-1")
        assert reading.wait(60)
        store.close()
        assert open_connections() == 1
        closed.set()
        assert found.result(10) == a_run()
    assert open_connections() == 0


def test_who_comes_after_the_store_is_closed_leaves_no_connection(
    tmp_path: Path, open_connections: Callable[[], int]
) -> None:
    store = open_store(str(tmp_path / "a.db"))
    store.close()
    store.create_run(a_run())
    assert store.get_run("run-1") == a_run()
    assert open_connections() == 0
