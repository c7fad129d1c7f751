"""Options that are empty, negative or can't be written are wrong usage; paths start from pytest's root directory."""

from pathlib import Path

import pytest

from agentbench.gate.baseline import baseline_of, write_baseline
from agentbench.store import open_store
from tests.plugin.numbers_suite import write

pytest_plugins = ["pytester"]

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    folder = pytester.mkdir("numbers")
    write(folder, right=20)
    pytester.makeini(INI)
    return folder


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--agentbench-baseline=", "--agentbench-baseline: '' is empty"),
        ("--agentbench-baseline= ", "--agentbench-baseline: ' ' is empty"),
        ("--agentbench-backend=", "--agentbench-backend: '' is empty"),
        ("--agentbench-set=", "--agentbench-set: '' is empty"),
        ("--agentbench-db=", "--agentbench-db: '' is empty"),
        ("--agentbench-summary=", "--agentbench-summary: '' is empty"),
        ("--agentbench-summary=.", "--agentbench-summary '.': it is a directory"),
        ("--agentbench-summary=tox.ini/sum.md", "tox.ini is not a directory; name a file that can be written"),
        ("--agentbench-flake-reruns=-1", "--agentbench-flake-reruns: -1 is too small; give 0 or more"),
        ("--agentbench-sample-seed=-1", "--agentbench-sample-seed: -1 is too small; give 0 or more"),
        ("--agentbench-limit=0", "--agentbench-limit: 0 is too small; give 1 or more"),
        ("--agentbench-limit=ten", "--agentbench-limit: 'ten' is not a whole number; give 1 or more"),
        ("--agentbench-repeats=0", "--agentbench-repeats: 0 is too small; give 1 or more"),
    ],
)
def test_an_option_that_says_nothing_is_wrong_usage(pytester: pytest.Pytester, option: str, message: str) -> None:
    pytester.makeini(INI)
    with pytest.raises(pytest.UsageError) as caught:
        pytester.parseconfigure(option)
    assert message in str(caught.value)


def test_store_and_baselines_are_under_the_root_directory(
    pytester: pytest.Pytester, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    assert pytester.runpytest("../numbers").ret == 0
    assert not list(below.iterdir())
    with open_store(str(pytester.path / "results/agentbench.db")) as store:
        run = store.get_run("latest")
        write_baseline(
            baseline_of("main", run, store), pytester.path / "results" / "baselines" / "numbers" / "main.json"
        )
    result = pytester.runpytest("../numbers", "--agentbench-baseline=main", "-rP")
    result.stdout.fnmatch_lines(["ok   not shown worse than baseline main*"])


def test_without_an_ini_file_they_are_where_pytest_was_started(
    pytester: pytest.Pytester, suite: Path, tmp_path: Path
) -> None:
    """pytest itself takes the value of an option for a file to be tested, and what both are in for its root."""
    (pytester.path / "tox.ini").unlink()
    summary = tmp_path / "summary.md"
    summary.touch()
    asked = ("numbers", "-p", "no:asyncio", "--agentbench-summary", str(summary))
    assert pytester.runpytest(*asked).ret == 0
    assert summary.read_text() != ""
    assert (pytester.path / "results/agentbench.db").is_file()


def test_the_ini_file_names_the_store_and_the_suites(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makeini(INI + "agentbench_db = kept/runs.db\nagentbench_suites = agents.yaml numbers/suite.yaml\n")
    other = pytester.mkdir("other")
    (other / "suite.yaml").write_text("!include another tool's\n")
    named = pytester.mkdir("named")
    write(named, right=20)
    (named / "suite.yaml").rename(named / "agents.yaml")
    assert pytester.runpytest().parseoutcomes() == {"passed": 42, "missed": 8}
    assert (pytester.path / "kept/runs.db").is_file()
    assert not (pytester.path / "results").exists()


def test_another_tool_s_suite_file_stops_nothing(pytester: pytest.Pytester, suite: Path) -> None:
    other = pytester.mkdir("other")
    (other / "suite.yaml").write_text("name: smoke\ntestcases: [{name: ping}]\n")
    result = pytester.runpytest("-k", "n00")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["agentbench: not a suite (no dataset, scorers or agent in it): *other?suite.yaml"])
    assert pytester.runpytest("other/suite.yaml").ret == 2, "named itself, it is meant"
    (other / "suite.yaml").write_text("!include common.yaml\n")
    result = pytester.runpytest()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*not valid YAML*agentbench_suites = suites/?/suite.yaml*"])


def test_collecting_makes_no_store_and_suite_items_have_the_marker(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makepyfile("def test_other(): pass")
    found = pytester.runpytest("--collect-only", "--strict-markers", "-m", "agent_suite")
    found.stdout.fnmatch_lines(["* 25/26 tests collected (1 deselected)*"])
    assert pytester.runpytest("-m", "not agent_suite").parseoutcomes() == {"passed": 1, "deselected": 25}
    assert not (pytester.path / "results").exists()


def test_a_store_that_can_t_be_opened_is_told_once(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest("numbers", "--agentbench-db=tox.ini/store.db")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: cannot open the store tox.ini/store.db: *"])
    assert result.stderr.str().count("cannot open") == 1
