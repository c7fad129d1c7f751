"""A complete run in one file: gzipped JSON lines with a checksum.

The first line is the run. Its attempts follow (each case before its first attempt), then its labels. The last line has
their counts and the SHA-256 of all bytes before it.

A line has the fields of a dataclass in their stored form; a step has its kind. The same run gives the same bytes,
whichever database it comes from.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agentbench.atomic_write import atomic_write
from agentbench.core.attempt import Attempt, Label
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.run import Run
from agentbench.core.trace import ModelCall, Step, ToolCall, UserTurn
from agentbench.store import AlreadyStored, Store
from agentbench.store.columns import to_json

STEPS: Mapping[str, type[Step]] = {"model_call": ModelCall, "tool_call": ToolCall, "user_turn": UserTurn}
KINDS = {step: kind for kind, step in STEPS.items()}

Part = TypeVar("Part", Run, Case, Attempt, Label)


def fields(part: Any) -> dict[str, Any]:
    """The fields of a dataclass, by name."""
    return {name: getattr(part, name) for name in type(part).__dataclass_fields__}


def run_line(run: Run) -> str:
    times = {"created_at": run.created_at.isoformat(), "finished_at": run.finished_at and run.finished_at.isoformat()}
    values = fields(run) | times
    if run.kind == "suite":
        # The default is left out, so that a file of an earlier version still has the same content.
        del values["kind"]
    return to_json(values)


def case_line(case: Case) -> str:
    return to_json(fields(case) | {"tools": [fields(tool) for tool in case.tools]})


def attempt_line(attempt: Attempt, case: int) -> str:
    """An attempt's line; `case` is the index of its case among the case lines."""
    steps = [{"kind": KINDS[type(step)], **fields(step)} for step in attempt.trace.steps]
    parts = {
        "trace": fields(attempt.trace) | {"steps": steps},
        "failure": attempt.failure and fields(attempt.failure),
        "scores": [fields(score) for score in attempt.scores],
    }
    return to_json({"case": case, **fields(attempt), **parts})


def label_line(label: Label) -> str:
    return to_json(fields(label) | {"created_at": label.created_at.isoformat()})


def parsed(kind: type[Part], values: Any) -> Part:
    """A run, case or label from its line's values; pydantic's `ValidationError` when they are invalid."""
    found: Part = ADAPTERS[kind].validate_python(values)
    return found


def parsed_attempt(values: Mapping[str, Any]) -> Attempt:
    """An attempt from its line's values, which it modifies. `KeyError` for a step of an unknown kind."""
    trace = dict(values["trace"])
    steps = tuple(_step(dict(step)) for step in trace.pop("steps"))
    complete = {**values, "trace": {**trace, "steps": steps}}
    complete.pop("case")
    return parsed(Attempt, complete)


def _step(values: dict[str, Any]) -> Step:
    found: Step = STEP_ADAPTERS[values.pop("kind")].validate_python(values)
    return found


STEP_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {kind: TypeAdapter(step) for kind, step in STEPS.items()}
ADAPTERS: Mapping[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Run, Case, Attempt, Label)}


VERSION = 1
LONGEST_LINE = 1 << 30


def write_run_file(store: Store, run: Run, path: Path, *, force: bool = False) -> Mapping[str, int]:
    """Writes the run to `path`, and returns the numbers of cases, attempts and labels."""
    with atomic_write(path, force=force) as draft, gzip.GzipFile(draft, "wb", compresslevel=6, mtime=0) as file:
        sealed = _Seal()
        for line in _lines(store, run, sealed):
            file.write(line)
    return sealed.counts


def read_run_file(path: Path, store: Store) -> tuple[Run, Mapping[str, int], bool]:
    """Stores the run of the file at `path`: all of it, or nothing.

    Returns the run, its counts, and whether it is new: a stored run with the same content is left unchanged.
    `UserError` when the stored run has other content, or the file is incomplete.
    """
    reader = _Reader(path)
    run = reader.run
    try:
        store.import_run(run, reader.parts())
    except AlreadyStored:
        for _ in reader.parts():
            pass
        here = _Seal()
        for _ in _lines(store, store.get_run(run.id), here):
            pass
        if here.digest != reader.seal.digest:
            ours, theirs = here.counts["attempts"], reader.seal.counts["attempts"]
            raise UserError(
                f"{path}: run {run.id} is in this store with another content ({ours} attempts here, {theirs} in the"
                " file); import it into another store with --db"
            ) from None
        return run, reader.seal.counts, False
    return run, reader.seal.counts, True


@dataclass(slots=True)
class _Seal:
    """A run file's last line, with counts and checksum of the lines before it."""

    counts: dict[str, int] = field(default_factory=lambda: {"cases": 0, "attempts": 0, "labels": 0})
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, line: bytes, what: str | None = None) -> bytes:
        self._hash.update(line)
        if what:
            self.counts[what] += 1
        return line

    @property
    def digest(self) -> str:
        return str(self._hash.hexdigest())


def _lines(store: Store, run: Run, seal: _Seal) -> Iterator[bytes]:
    yield seal.add(_line("run", run_line(run), version=VERSION))
    numbers: dict[str, int] = {}
    for attempt, case in store.attempts_with_cases(run.id, decided=False):
        line_text = case_line(case)
        digest = hashlib.sha256(line_text.encode()).hexdigest()
        if digest not in numbers:
            numbers[digest] = len(numbers)
            yield seal.add(_line("case", line_text), "cases")
        yield seal.add(_line("attempt", attempt_line(attempt, numbers[digest])), "attempts")
    for label in store.labels(run.id):
        yield seal.add(_line("label", label_line(label)), "labels")
    yield _line("end", json.dumps({**seal.counts, "sha256": seal.digest}))


def _line(kind: str, body: str, version: int | None = None) -> bytes:
    head = f'"agentbench_run":{version},' if version is not None else ""
    return f'{{{head}"{kind}":{body}}}\n'.encode("ascii")


class _Reader:
    """Reads a run file once, from the first line to the last; any error in it is a `UserError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seal = _Seal()
        self._number = 0
        self._read = self._entries()
        kind, values = next(self._read)
        if kind != "run":
            raise self._wrong("its first line is not a run")
        self.run = self._built(lambda: parsed(Run, values))

    def parts(self) -> Iterator[tuple[Attempt, Case] | Label]:
        """Every attempt with its case, then the labels. Errors at the file's end show only when the end is reached."""
        cases: list[Case] = []
        seen: set[tuple[str, int]] = set()
        for kind, values in self._read:
            if kind == "case":
                cases.append(self._built(lambda values=values: parsed(Case, values)))
            elif kind == "attempt":
                attempt = self._built(lambda values=values: parsed_attempt(values))
                key = (attempt.case_id, attempt.repeat)
                if key in seen:
                    raise self._wrong(f"case {attempt.case_id!r}, repeat {attempt.repeat} is there twice")
                seen.add(key)
                yield attempt, self._case(cases, values["case"], attempt)
            else:
                yield self._built(lambda values=values: parsed(Label, values))

    def _case(self, cases: Sequence[Case], number: Any, attempt: Attempt) -> Case:
        if not isinstance(number, int) or not 0 <= number < len(cases) or cases[number].id != attempt.case_id:
            raise self._wrong(f"its case {attempt.case_id!r} is on no earlier line")
        return cases[number]

    def _entries(self) -> Iterator[tuple[str, Any]]:
        try:
            with self.path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
                yield from self._checked(file)
        except FileNotFoundError:
            raise UserError(f"there is no file {self.path}") from None
        except (gzip.BadGzipFile, zlib.error):
            raise self._wrong("it is no run file (agentbench export RUN --format run), or was damaged") from None
        except EOFError:
            raise self._wrong("it was cut off") from None
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from None

    def _checked(self, file: gzip.GzipFile) -> Iterator[tuple[str, Any]]:
        while line := file.readline(LONGEST_LINE):
            self._number += 1
            entry = self._built(lambda line=line: json.loads(line))
            if self._number == 1:
                self._check_version(entry)
            kind = next((kind for kind in COUNTED if isinstance(entry, dict) and kind in entry), None)
            if kind is None:
                raise self._wrong("it is none of run, case, attempt, label and end")
            if kind == "end":
                self._check_end(entry["end"])
                return
            self.seal.add(line, COUNTED[kind])
            yield kind, entry[kind]
        raise self._wrong("it was cut off: the last line is missing")

    def _check_version(self, entry: Any) -> None:
        version = entry.get("agentbench_run") if isinstance(entry, dict) else None
        if not isinstance(version, int):
            raise self._wrong("it is no run file; agentbench export RUN --format run makes one")
        if version > VERSION:
            raise self._wrong(f"it has version {version}, and this agentbench reads up to {VERSION}: upgrade it")

    def _check_end(self, end: Any) -> None:
        if end != {**self.seal.counts, "sha256": self.seal.digest}:
            raise self._wrong("its checksum does not match its lines: it was changed or damaged")

    def _built(self, build: Any) -> Any:
        try:
            return build()
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            raise self._wrong(f"{'.'.join(map(str, found['loc']))}: {found['msg']}") from None
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise self._wrong("it is damaged: its values are not those of a run") from None

    def _wrong(self, what: str) -> UserError:
        where = f"line {self._number}: " if self._number else ""
        return UserError(f"{self.path}: {where}{what}")


COUNTED: Mapping[str, str | None] = {
    "run": None,
    "case": "cases",
    "attempt": "attempts",
    "label": "labels",
    "end": None,
}
