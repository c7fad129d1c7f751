"""The store: every run and its attempts, with raw timestamps, in one SQL database."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from agentbench.core.attempt import Attempt, Label
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.run import Run, RunStatus
from agentbench.core.trace import answer_in
from agentbench.store.annotations import (
    LabelVerdicts,
    NotedTables,
    Notes,
    label_of,
    label_values,
    labels_of,
    verdicts_from_labels,
)
from agentbench.store.attempts import full_attempts, insert_attempts, insert_run, measured, with_cases
from agentbench.store.database import (
    Patience,
    damage_explained,
    is_read_only,
    make_directory,
    make_engine,
    upgrade,
    use_write_ahead_log,
    writing,
)
from agentbench.store.listing import Listing, RunSummary, decided_summaries, summaries
from agentbench.store.rows import NoScore, attempt_of, case_of, insert_or_replace, run_of, run_row
from agentbench.store.runs import abandoned, baselines, find_run, set_baseline, settle, superseded
from agentbench.store.studies import Studies
from agentbench.store.tables import AttemptRow, CaseRow, LabelRow, NoteRow, RunRow, ScoreRow, TagRow
from agentbench.store.url import database_url, shown

NOTED = NotedTables(tags=TagRow, notes=NoteRow, column="run_id", find=find_run)
CACHED_CASES = 5000
"""Most digests of stored cases to cache, so that a repeat does not look its case up again."""


REFUSED = (IntegrityError, DataError, NoScore, OverflowError, UnicodeError)
"""Exceptions of databases and drivers for a row that they reject."""


class AlreadyStored(Exception):
    """The run, or this repeat of this case of the run, is stored already; nothing was changed."""


class Store:
    """Stores and returns runs, attempts and labels as the types of `agentbench.core`.

    Attempts without a verdict of their own are returned with the verdict of their labels
    (`agentbench.store.annotations`).

    Each method is one transaction. After it returns, the write survives the death of this process; a process that dies
    inside it leaves nothing partial. Any number of threads and processes may use one database at once, but a `Store`
    must not be carried over a fork.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = writing(engine)
        self._stored_cases: set[str] = set()
        self._patience = Patience(engine)
        self.studies = Studies(self._read, self._write)
        self.listing = Listing(self._read)
        self.notes = Notes(self._read, self._write, NOTED)

    def create_run(self, run: Run) -> None:
        """Raises `AlreadyStored` when this id exists."""
        try:
            with self._write() as session:
                session.add(run_row(run))
        except IntegrityError as error:
            raise AlreadyStored(f"run {run.id!r} is stored already") from error

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Also sets `finished_at`: now, or None for a run that is running (again)."""
        with self._write() as session:
            row = find_run(session, run_id)
            row.status = status
            row.finished_at = None if status == "running" else datetime.now(UTC)

    def settle_abandoned(self) -> None:
        """Sets the final status of runs whose process was killed, as far as this machine can tell."""
        with self._read() as session:
            found = abandoned(session)
        if found:
            with self._write() as session:
                settle(session, found)

    def discard_empty(self, run_id: str) -> bool:
        """Removes a run without attempts (its server did not start); False when it has some, or does not exist."""
        with self._write() as session:
            row = session.get(RunRow, run_id)
            attempt = session.scalars(select(AttemptRow.id).where(AttemptRow.run_id == run_id).limit(1)).first()
            if row is None or attempt is not None:
                return False
            for table in (TagRow, NoteRow):
                session.execute(delete(table).where(table.run_id == run_id))
            session.delete(row)
            return True

    def update_environment(self, run_id: str, facts: Mapping[str, Any]) -> None:
        """Adds facts to the run's environment, replacing those of the same top-level key."""
        with self._write() as session:
            row = find_run(session, run_id)
            session.refresh(row, with_for_update=True)
            row.environment = {**row.environment, **facts}

    def get_run(self, reference: str, suite: str | None = None) -> Run:
        """The run of this id, unique start of an id, label (the newest; LABEL~N is an earlier one), `latest` or
        `latest~N`.

        With a `suite`, a label means runs of that suite.

        Raises `UserError`, which lists the nearest names when there is no match, and the candidates when there are
        several.
        """
        with self._read() as session:
            return run_of(find_run(session, reference, suite))

    def list_runs(self, limit: int | None = None, suite: str | None = None) -> list[RunSummary]:
        """The newest runs first, of one suite if given, with counts of their attempts."""
        with self._read() as session:
            return decided_summaries(session, session.execute(summaries(limit, suite)))

    def add_attempt(self, run_id: str, attempt: Attempt, case: Case) -> None:
        """Stores an attempt, and its case unless an equal one is stored.

        Raises `AlreadyStored` when the run has this repeat of this case, `UserError` for an unknown run.
        """
        if self.add_attempts(run_id, [(attempt, case)]):
            raise AlreadyStored(f"run {run_id} has case {attempt.case_id!r}, repeat {attempt.repeat}, already")

    def add_attempts(self, run_id: str, attempts: Sequence[tuple[Attempt, Case]]) -> set[tuple[str, int]]:
        """Stores attempts in one transaction, and returns the keys that the run had already; those are left out.

        It waits for a PostgreSQL server that is away. `UserError` for an unknown run.
        """
        return self._patience.insist(lambda again: self._add(run_id, attempts, again))

    def _add(self, run_id: str, attempts: Sequence[tuple[Attempt, Case]], again: bool) -> set[tuple[str, int]]:
        try:
            with self._write() as session:
                stored_cases = frozenset(self._stored_cases)
                foreign, digests = insert_attempts(session, run_id, attempts, stored_cases, again=again)
        except REFUSED as error:
            with self._read() as session:
                find_run(session, run_id)
            return self._add_each(run_id, attempts, again, error)
        self._stored_cases = self._stored_cases | digests if len(self._stored_cases) < CACHED_CASES else digests
        return foreign

    def _add_each(
        self, run_id: str, attempts: Sequence[tuple[Attempt, Case]], again: bool, error: Exception
    ) -> set[tuple[str, int]]:
        """Stores each attempt by itself, since another writer may have stored one of them first. When the database
        rejects an attempt, the error is raised after all others are stored.
        """
        if len(attempts) == 1:
            key = (attempts[0][0].case_id, attempts[0][0].repeat)
            if key in self.stored_keys(run_id):
                return {key}
            cause = " ".join(str(getattr(error, "orig", None) or error).split())
            raise UserError(f"the store refuses case {key[0]!r}, repeat {key[1]}, of run {run_id}: {cause}") from error
        foreign: set[tuple[str, int]] = set()
        refused: UserError | None = None
        for pair in attempts:
            try:
                foreign |= self._add(run_id, [pair], again)
            except UserError as rejected:
                refused = refused or rejected
        if refused is not None:
            raise refused
        return foreign

    def stored_keys(self, run_id: str) -> set[tuple[str, int]]:
        """Case id and repeat of each stored attempt."""
        query = select(AttemptRow.case_id, AttemptRow.repeat).where(AttemptRow.run_id == run_id)
        with self._read() as session:
            return {(case_id, repeat) for case_id, repeat in session.execute(query)}

    def measured_attempts(self, run_id: str) -> Iterator[Attempt]:
        """The run's attempts in the order in which they were stored, without their texts: for figures over many of
        them.

        Messages, replies and tool results are empty, and so are requests except for the model's name. Verdicts, times,
        token counts and scores are there.
        """
        with self._read() as session:
            yield from map(LabelVerdicts(session, run_id), measured(session, run_id))

    def failures(self, run_id: str, most: int) -> list[tuple[str, str, int]]:
        """The run's most frequent failures: kind, message and count."""
        number = func.count()
        query = select(AttemptRow.failure_kind, AttemptRow.failure_message, number).group_by(
            AttemptRow.failure_kind, AttemptRow.failure_message
        )
        query = query.where(AttemptRow.run_id == run_id, AttemptRow.failure_kind.is_not(None))
        query = query.order_by(number.desc(), AttemptRow.failure_kind, AttemptRow.failure_message).limit(most)
        with self._read() as session:
            return [(kind or "", message or "", count) for kind, message, count in session.execute(query)]

    def attempts(self, run_id: str) -> list[Attempt]:
        """Every attempt of the run in full, in the order in which they were stored."""
        query = full_attempts(run_id).order_by(AttemptRow.id)
        with self._read() as session:
            return list(map(LabelVerdicts(session, run_id), map(attempt_of, session.scalars(query))))

    def attempts_with_cases(self, run_id: str, *, decided: bool = True) -> Iterator[tuple[Attempt, Case]]:
        """The run's attempts with their cases, in the order in which they were stored; only a few hundred are in memory
        at a time.

        With `decided`, the verdicts of labels are applied; otherwise the attempts are as stored.
        """
        with self._read() as session:
            verdicts = LabelVerdicts(session, run_id)
            for attempt, case in with_cases(session, run_id):
                yield verdicts(attempt) if decided else attempt, case

    def import_run(self, run: Run, parts: Iterable[tuple[Attempt, Case] | Label]) -> None:
        """Stores a run with its attempts and labels in one transaction, which an error in `parts` rolls back.

        Raises `AlreadyStored`, before anything is read from `parts`, when this id exists.
        """
        with self._read() as session:
            if session.get(RunRow, run.id) is not None:
                raise AlreadyStored(f"run {run.id!r} is stored already")
        try:
            with self._write() as session:
                insert_run(session, run, parts)
        except NoScore as error:
            raise UserError(f"run {run.id} can't be stored: {error}") from None

    def verdicts(self, run_id: str) -> list[tuple[str, int, bool | None]]:
        """Case id, repeat and verdict of each attempt; None for a failed or undecided one."""
        query = select(AttemptRow.case_id, AttemptRow.repeat, AttemptRow.passed).where(AttemptRow.run_id == run_id)
        with self._read() as session:
            reviewed = verdicts_from_labels(session, run_id)
            found = session.execute(query)
            return [(case_id, repeat, reviewed.get((case_id, repeat), passed)) for case_id, repeat, passed in found]

    def set_baseline(self, suite: str, name: str, run_id: str) -> None:
        """Makes the run the suite's baseline of this name; the previous one is recorded as superseded."""
        with self._write() as session:
            set_baseline(session, suite, name, run_id)

    def baselines(self, suite: str | None = None) -> dict[tuple[str, str], str]:
        """Maps suite and name of each baseline to its run's id."""
        with self._read() as session:
            return baselines(session, suite)

    def superseded_baselines(self, suite: str, name: str) -> list[tuple[str, datetime]]:
        """The earlier runs of this baseline with their start times, latest first."""
        with self._read() as session:
            return superseded(session, suite, name)

    def attempt(self, run_id: str, case_id: str, repeat: int) -> Attempt | None:
        query = full_attempts(run_id).where(AttemptRow.case_id == case_id, AttemptRow.repeat == repeat)
        with self._read() as session:
            row = session.scalars(query).first()
            return None if row is None else LabelVerdicts(session, run_id)(attempt_of(row))

    def answers(self, run_id: str) -> dict[str, list[str]]:
        """The answers by case, in the order of their repeats, without failed attempts."""
        query = (
            select(AttemptRow.case_id, AttemptRow.output)
            .where(AttemptRow.run_id == run_id, AttemptRow.failure_kind.is_(None))
            .order_by(AttemptRow.repeat)
        )
        found: dict[str, list[str]] = {}
        with self._read() as session:
            for case_id, output in session.execute(query):
                found.setdefault(case_id, []).append(answer_in(output))
        return found

    def add_label(self, run_id: str, label: Label) -> None:
        """Stores a reviewer's label, and replaces their earlier one.

        Raises `UserError` when there is no such attempt, or it failed and has no answer to review.
        """
        attempt = select(AttemptRow.failure_kind).where(
            AttemptRow.run_id == run_id, AttemptRow.case_id == label.case_id, AttemptRow.repeat == label.repeat
        )
        with self._write() as session:
            found = session.execute(attempt).first()
            what = f"case {label.case_id!r}, repeat {label.repeat}"
            if found is None:
                raise UserError(f"run {run_id} has no attempt of {what}")
            if found[0] is not None:
                raise UserError(f"{what} ended in a failure ({found[0]}): there is no answer to label")
            insert_or_replace(session, LabelRow, label_values(run_id, label))

    def labels(self, run_id: str) -> list[Label]:
        """Every label of the run, by case, repeat and reviewer."""
        with self._read() as session:
            return [label_of(row) for row in session.scalars(labels_of(run_id))]

    def case(self, run_id: str, case_id: str) -> Case:
        """The case as the run's last attempt had it. Raises `UserError` when it was not attempted."""
        query = (
            select(CaseRow)
            .join(AttemptRow, AttemptRow.case_digest == CaseRow.digest)
            .where(AttemptRow.run_id == run_id, AttemptRow.case_id == case_id)
            .order_by(AttemptRow.id.desc())
            .limit(1)
        )
        with self._read() as session:
            row = session.scalars(query).first()
            if row is None:
                raise UserError(f"run {run_id} has no attempt of case {case_id!r}")
            return case_of(row)

    def waiting_scorers(self, run_id: str) -> frozenset[str]:
        """The run's scorers that leave their verdict to a person."""
        query = (
            select(ScoreRow.name)
            .join(AttemptRow, AttemptRow.id == ScoreRow.attempt_id)
            .where(AttemptRow.run_id == run_id, ScoreRow.passed.is_(None))
            .distinct()
        )
        with self._read() as session:
            return frozenset(session.scalars(query))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of a SQLite database, including those that exist while it is open; none for PostgreSQL."""
        name = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not name or name == ":memory:":
            return ()
        return tuple(Path(name + end) for end in ("", "-wal", "-shm", "-journal"))

    def close(self) -> None:
        """Closes the connections, busy ones when their thread is done; safe to call twice."""
        self._engine.pool.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with damage_explained(self._engine.url), Session(self._engine) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        try:
            with damage_explained(self._engine.url), Session(self._writing) as session, session.begin():
                yield session
        except OperationalError as error:
            if self._patience.is_away(error):
                raise
            name = shown(self._engine.url)
            raise UserError(f"cannot write to the store {name}: {_reason(error)}") from error


def open_store(url: str | None = None, *, create: bool = True) -> Store:
    """Opens the database at `url`, otherwise at AGENTBENCH_DB, otherwise results/agentbench.db, and upgrades its
    schema.

    `url` is a path of a SQLite file, sqlite:///PATH or postgresql://…; a missing SQLite file is created unless `create`
    is False. Raises `UserError` when the database can't be reached, written or understood.
    """
    where = database_url(url)
    name = shown(where)
    sqlite_path = where.database if where.get_backend_name() == "sqlite" else None
    if not create and sqlite_path and not Path(sqlite_path).exists():
        raise UserError(f"there is no store at {name}. Make it with agentbench run, or name one with --db.")
    with ExitStack() as undo:
        try:
            with damage_explained(where):
                engine = make_engine(where)
                undo.callback(engine.dispose)
                make_directory(where)
                if not is_read_only(where):
                    use_write_ahead_log(engine)
                upgrade(engine)
        except (SQLAlchemyError, sqlite3.Error, OSError, UserError) as error:
            raise UserError(f"cannot open the store {name}: {_reason(error)}") from error
        store = Store(engine)
        if not is_read_only(where):
            store.settle_abandoned()
        undo.pop_all()
        return store


def _reason(error: Exception) -> str:
    """One line that says what went wrong and what to do."""
    if isinstance(error, UserError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    text = " ".join(str(cause).split())
    return f"{text}. Check that it exists and can be written, or name another with --db or AGENTBENCH_DB."
