"""The `jsonl` data set: a user's own cases, one JSON object a line."""

import json
import math
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case, ToolSpec
from agentbench.core.errors import UserError
from agentbench.suite.validation import validate


class JsonlConfig(BaseModel):
    """Options of the `jsonl` data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(Path("cases.jsonl"), description="The file, from the suite's directory.")


class ToolLine(BaseModel):
    """A tool that a case declares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class CaseLine(BaseModel):
    """The keys of a line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    input: str | list[dict[str, Any]] = Field(description="A user's text, or chat messages.")
    tools: tuple[ToolLine, ...] = ()
    expected: Any = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    user: dict[str, Any] = Field(default_factory=dict)
    cluster: str = ""


class JsonlDataset:
    """Checks every line when it loads; `UserError` names file, line and key of the first mistake."""

    Config = JsonlConfig

    def __init__(self, config: JsonlConfig) -> None:
        self._path = config.path

    def load(self, root: Path) -> "JsonlCases":
        path = root / self._path
        lines: dict[str, int] = {}
        places = array("Q")
        for number, offset, text in _lines(path):
            case = _case(path, number, text)
            if case.id in lines:
                raise UserError(f"{path}:{number}: case id {case.id!r} is used twice; first on line {lines[case.id]}")
            lines[case.id] = number
            places.extend((number, offset))
        return JsonlCases(path, places)


class JsonlCases(Sequence[Case]):
    """The cases of a checked file. Each is read when it is accessed, so that a long file is never in memory at once."""

    def __init__(self, path: Path, places: "array[int]") -> None:
        self._path = path
        self._places = places  # line number and offset of each case, alternating

    def __len__(self) -> int:
        return len(self._places) // 2

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> list[Case]: ...
    def __getitem__(self, index: int | slice) -> Case | list[Case]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        number, offset = self._places[2 * at], self._places[2 * at + 1]
        with self._path.open("rb") as file:
            file.seek(offset)
            return self._read(number, file.readline().decode())

    def __iter__(self) -> Iterator[Case]:
        for number, _, text in _lines(self._path):
            yield self._read(number, text)

    def place(self, index: int) -> str:
        return f"{self._path}:{self._places[2 * index]}"

    def _read(self, number: int, text: str) -> Case:
        """Parses a line that was checked at loading; `UserError` when the file has changed since."""
        try:
            return _checked(**json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError):
            return _case(self._path, number, text)


def _lines(path: Path) -> Iterator[tuple[int, int, str]]:
    """Number (from 1), offset in bytes and text of each line that is not empty, without a byte order mark."""
    try:
        with path.open("rb") as file:
            offset = len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0
            file.seek(offset)
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, offset, line.decode("utf-8")
                offset += len(line)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the cases can't be read: {error}") from None


def _case(path: Path, number: int, text: str) -> Case:
    try:
        data = json.loads(text, parse_constant=_refused, parse_float=_finite)
    # ValueError is also what an integer of more than 4300 digits raises.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:{number}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}:{number}: expected a JSON object, found {type(data).__name__}")
    return _checked(**dict(validate(CaseLine, data, lambda _: f"{path}:{number}")))


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number, and not every database can store it")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refused(text)


def _checked(*, input: str | list[dict[str, Any]], tools: Sequence[Any] = (), **values: Any) -> Case:
    """Builds a case from values that were validated already; its tools are ToolSpecs or their JSON form."""
    messages = [{"role": "user", "content": input}] if isinstance(input, str) else input
    read = (tool if isinstance(tool, ToolLine) else ToolLine.model_validate(tool) for tool in tools)
    specs = tuple(ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in read)
    return Case(messages=tuple(messages), tools=specs, **values)
