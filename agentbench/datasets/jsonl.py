"""Cases of one's own: one JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case, ToolSpec
from agentbench.errors import UserError
from agentbench.validation import validate


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
    """What a line may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    input: str | list[dict[str, Any]] = Field(description="A user's text, or chat messages.")
    tools: tuple[ToolLine, ...] = ()
    expected: Any = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    user: dict[str, Any] = Field(default_factory=dict)
    cluster: str = ""


class JsonlDataset:
    """Reads every line; `UserError` names file, line and key of the first that is wrong."""

    Config = JsonlConfig

    def __init__(self, config: JsonlConfig) -> None:
        self._path = config.path

    def load(self, root: Path) -> list[Case]:
        path = root / self._path
        seen: dict[str, int] = {}
        cases: list[Case] = []
        for number, line in _lines(path):
            case = _case(path, number, line)
            if case.id in seen:
                raise UserError(f"{path}:{number}: case id {case.id!r} stands twice; first on line {seen[case.id]}")
            seen[case.id] = number
            cases.append(case)
        return cases


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the cases can't be read: {error}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _case(path: Path, number: int, text: str) -> Case:
    try:
        data = json.loads(text)
    # ValueError is also what an integer of more than 4300 digits raises.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:{number}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}:{number}: expected a JSON object, found {type(data).__name__}")
    line = validate(CaseLine, data, lambda _: f"{path}:{number}")
    messages = [{"role": "user", "content": line.input}] if isinstance(line.input, str) else line.input
    return Case(
        id=line.id,
        messages=tuple(messages),
        tools=tuple(ToolSpec(name=t.name, description=t.description, parameters=t.parameters) for t in line.tools),
        expected=line.expected,
        metadata=line.metadata,
        user=line.user,
        cluster=line.cluster,
    )
