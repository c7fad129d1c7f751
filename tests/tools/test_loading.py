"""Tools from files that raise, that hold state, or whose functions can't be tools."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.tools import load_tools
from tests.fakes import toolbox_of

HINTS = """
from __future__ import annotations
class Opaque: ...
def unknown(x: Nowhere) -> int: ...
def opaque(x: Opaque) -> int: ...
def positional(x: int, /) -> int: ...
"""

SHARED = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Item:
    name: str

KEPT: list[str] = []

def put(item: Item) -> int:
    KEPT.append(item.name)
    return len(KEPT)

def get() -> list[str]:
    return KEPT
"""


async def test_functions_of_one_file_share_it(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    toolbox = toolbox_of(load_tools(["shared.py:put", "shared.py:get"], tmp_path))
    await toolbox.call("put", {"item": {"name": "x"}})
    assert (await toolbox.call("get", {})).result == '["x"]'


async def test_tools_loaded_again_start_afresh(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    [put] = load_tools(["shared.py:put"], tmp_path)
    await toolbox_of([put]).call("put", {"item": {"name": "x"}})
    again = load_tools(["shared.py:get"], tmp_path)
    assert (await toolbox_of(again).call("get", {})).result == "[]"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (".relative:f", "expected file.py:function"),
        ("exits.py:f", "can't be run: SystemExit: 1"),
        ("divides.py:f", "can't be run: ZeroDivisionError"),
        ("hints.py:unknown", "type hints can't be resolved: name 'Nowhere'"),
        ("hints.py:opaque", "a type hint has no JSON Schema"),
        ("hints.py:positional", "parameter 'x' needs a type hint and a name of its own"),
    ],
)
def test_a_reference_that_is_wrong_is_named(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "exits.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "divides.py").write_text("1 / 0\n")
    (tmp_path / "hints.py").write_text(HINTS)
    with pytest.raises(UserError) as told:
        load_tools([reference], tmp_path)
    assert repr(reference) in str(told.value)
    assert message in str(told.value)
