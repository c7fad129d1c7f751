"""The Markdown summary says of each run what pytest said of its items."""

import json
from pathlib import Path

import pytest

from agentbench.store import open_store
from tests.plugin.numbers_suite import SUITE, write

pytest_plugins = ["pytester"]

SUMMARY = "--agentbench-summary=sum.md"
TESTS = """\
import pytest

@pytest.mark.agent_suite("numbers")
def test_high(agent_run):
    agent_run.assert_pass_rate(at_least=0.99)

@pytest.mark.agent_suite("numbers", repeats=2)
def test_low(agent_run):
    agent_run.assert_pass_rate(at_least=0.8)

@pytest.mark.agent_suite("numbers", repeats=3)
def test_by_hand(agent_run):
    assert agent_run.pass_rate > 0.99

@pytest.mark.xfail(strict=True)
@pytest.mark.agent_suite("numbers", repeats=4)
def test_expected(agent_run):
    agent_run.assert_pass_rate(at_least=0.99)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = pytester.mkdir("numbers")
    write(folder, right=20)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    return folder


def headings(pytester: pytest.Pytester) -> list[str]:
    text = (pytester.path / "sum.md").read_text()
    return [line for line in text.splitlines() if line.startswith(("##", "- "))]


def status(pytester: pytest.Pytester) -> str:
    with open_store(str(pytester.path / "store.db")) as store:
        return store.get_run("latest").status


def test_a_python_test_s_assertions_decide(pytester: pytest.Pytester, suite: Path) -> None:
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(text.replace("mode: gate", "mode: strict"))
    pytester.makepyfile(test_agents=TESTS)
    assert pytester.runpytest("test_agents.py", SUMMARY).ret == 1
    high, high_said, low, low_said, by_hand, by_hand_said, expected, _ = headings(pytester)
    assert high == by_hand == "## ❌ agentbench numbers: failed"
    assert low == expected == "## ✅ agentbench numbers: passed"
    assert high_said.startswith(r"- ❌ test\_agents\.py::test\_high: pass rate 83\.3 % ")
    assert r"below 99 %" in high_said
    assert low_said.startswith(r"- ✅ test\_agents\.py::test\_low: pass rate 83\.3 % ")
    assert r"at least 80 %" in low_said
    assert by_hand_said.startswith(r"- ❌ test\_agents\.py::test\_by\_hand: assert 0\.8333")


def test_cases_that_wait_for_review_are_no_failure(pytester: pytest.Pytester, suite: Path) -> None:
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(text.replace("[exact]", "[human]").replace("mode: gate", "mode: strict"))
    assert pytester.runpytest("numbers", SUMMARY).ret == 0
    assert headings(pytester) == [
        "## ⏳ agentbench numbers: waits for review",
        "- ✅ 0 of 24 cases did not pass, 24 wait for review",
    ]


def test_a_baseline_that_is_not_there(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest("numbers", "--agentbench-baseline=typo", SUMMARY)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED numbers/suite.yaml::gate - no baseline 'typo' of suite 'numbers'*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.fnmatch_lines(["| Run *finished, started*"])
    [verdict, said] = headings(pytester)
    assert verdict == "## ❌ agentbench numbers: failed"
    assert said.startswith("- ❌ no baseline 'typo' of suite 'numbers'; there are: none")
    assert status(pytester) == "finished"


def test_a_gate_that_was_not_reached_is_not_judged(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makeconftest(
        "def pytest_runtest_setup(item):\n    if item.name == 'n05':\n        raise KeyboardInterrupt\n"
    )
    result = pytester.runpytest_inprocess("numbers", SUMMARY, no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert headings(pytester) == ["## ⚠️ agentbench numbers: not judged"]
    assert status(pytester) in ("finished", "interrupted")


def test_a_strict_suite_counts_its_cases(pytester: pytest.Pytester, suite: Path) -> None:
    replies = [{"when": "^00$", "content": "00"}]
    (suite / "suite.yaml").write_text(SUITE.replace("REPLIES", json.dumps(replies)).replace("mode: gate\n", ""))
    assert pytester.runpytest("numbers", SUMMARY, "-k", "n0").ret == 1
    assert headings(pytester) == ["## ❌ agentbench numbers: failed", "- ❌ 9 of 10 cases did not pass"]


def test_a_summary_that_can_t_be_written_in_the_end_is_no_success(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makeconftest("import pathlib\ndef pytest_sessionstart():\n    pathlib.Path('sum.md').mkdir()\n")
    result = pytester.runpytest("numbers", SUMMARY)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["agentbench: the summary is not written: *sum.md*"])
    assert status(pytester) == "finished"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("agent: chat", 'agent: {name: callable, target: "no_such_module:answer"}', "agent\\.target"),
        ("scorers: [exact]", "scorers: [exat]", "numbers/suite\\.yaml:4: unknown scorer"),
        ("--agentbench-backend=http://127.0.0.1:9/v1", "", "can't be reached"),
    ],
)
def test_a_suite_that_can_t_run_is_in_the_summary_and_leaves_no_run(
    pytester: pytest.Pytester, suite: Path, old: str, new: str, message: str
) -> None:
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(text.replace(old, new))
    options = [] if new else [old]
    assert pytester.runpytest("numbers", SUMMARY, *options).ret != 0
    verdict, *said = headings(pytester)
    assert verdict == "## ❌ agentbench numbers: failed"
    assert len(said) == 1
    assert message in said[0]
    if (pytester.path / "store.db").exists():
        with open_store(str(pytester.path / "store.db")) as store:
            assert store.list_runs() == []
