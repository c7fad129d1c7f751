"""Objects of a user's by reference."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentbench.references import beside, load_object


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test imports is forgotten, and it runs in an empty directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


SAYS = "def answer(case): return {!r}\n"


@pytest.mark.parametrize("reference", ["their_agent:answer", "their_agent.py:answer"])
@pytest.mark.parametrize("where", ["suite", "here"])
def test_it_is_looked_for_beside_the_suite_and_from_where_the_run_starts(
    tmp_path: Path, where: str, reference: str
) -> None:
    written(tmp_path / where, "their_agent.py", SAYS.format(where))
    with beside(written(tmp_path / "suite", "suite.yaml", "")):
        assert load_object(reference)(None) == where


@pytest.mark.parametrize("reference", ["their_agent:answer", "their_agent.py:answer"])
def test_the_one_beside_the_suite_comes_first(tmp_path: Path, reference: str) -> None:
    written(tmp_path / "here", "their_agent.py", SAYS.format("here"))
    with beside(written(tmp_path / "suite", "their_agent.py", SAYS.format("suite"))):
        assert load_object(reference)(None) == "suite"


def test_modules_of_one_name_in_two_suites_are_not_taken_for_each_other(tmp_path: Path) -> None:
    with beside(written(tmp_path / "a", "agent_of_suite.py", SAYS.format("a"))):
        assert load_object("agent_of_suite:answer")(None) == "a"
    with beside(written(tmp_path / "b", "agent_of_suite.py", SAYS.format("b"))):
        with pytest.raises(ValueError, match=r"imported before, .*name the file \(agent_of_suite.py:answer\)"):
            load_object("agent_of_suite:answer")
        assert load_object("agent_of_suite.py:answer")(None) == "b"


def test_a_file_can_import_what_lies_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "suite", "beside_it.py", "WORD = 'found'\n")
    text = "from beside_it import WORD\n" + SAYS.replace("{!r}", "WORD")
    with beside(written(tmp_path / "suite", "their_agent.py", text)):
        assert load_object("their_agent.py:answer")(None) == "found"


@pytest.mark.parametrize("reference", ["broken:answer", "broken.py:answer"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("X = {}\nX['missing']\n", r"KeyError: 'missing' \(.*broken.py, line 2\)"),
        ("def answer(\n", r"SyntaxError: '\(' was never closed \(.*broken.py, line 1\)"),
        ("import sys\n\nsys.exit(4)\n", r"SystemExit: 4 \(.*broken.py, line 3\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: .* \(.*broken.py, line 2\)"),
        ("import asyncio\nraise asyncio.CancelledError\n", r"CancelledError \(.*broken.py, line 2\)"),
        ("class Own(BaseException): ...\nraise Own('a\\nb')\n", r"Own: a \(.*broken.py, line 2\)"),
        ("import no_such_module_of_theirs\n", r"ModuleNotFoundError: .*'no_such_module_of_theirs' \(.*py, line 1\)"),
    ],
)
def test_what_it_raises_is_one_line_with_file_and_line(tmp_path: Path, reference: str, text: str, told: str) -> None:
    with (
        beside(written(tmp_path / "suite", "broken.py", text)),
        pytest.raises(ValueError, match=told) as raised,
    ):
        load_object(reference)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (
            "nowhere:answer",
            r"No module named 'nowhere'; looked for in .*suite and .*name its file \(nowhere.py:answer\)",
        ),
        ("nowhere.py:answer", r"there is no file .*suite/nowhere.py or .*here/nowhere.py"),
        ("agent_there:answr", r"agent_there has no function 'answr'\. Did you mean 'answer'\?"),
        ("agent_there:NUMBER", r"it is a int, not a function"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(tmp_path: Path, reference: str, told: str) -> None:
    text = SAYS.format("x") + "NUMBER = 1\n"
    with beside(written(tmp_path / "suite", "agent_there.py", text)), pytest.raises(ValueError, match=told):
        load_object(reference)
