"""Plugins that run tests again: a repeat of a suite's item would see the attempts of the same run."""

from pathlib import Path

import pytest

from tests.plugin.numbers_suite import write

pytest_plugins = ["pytester"]

REPEAT = """\
def pytest_addoption(parser):
    parser.addoption("--count", type=int, default=1)
def pytest_configure(config):
    config.addinivalue_line("markers", "repeat(n): run it n times")
"""
RERUNS = """\
def pytest_addoption(parser):
    parser.addoption("--reruns", type=int)
def pytest_configure(config):
    config.addinivalue_line("markers", "flaky(reruns): run it again")
def pytest_collection_finish(session):
    print("reruns", {item.get_closest_marker("flaky").kwargs["reruns"] for item in session.items})
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = pytester.mkdir("numbers")
    write(folder, 3, "gate: {min_pass_rate: 0.9}\n")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    pytester.syspathinsert()
    return folder


def test_a_count_is_refused_for_suites_alone(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makepyfile(repeat=REPEAT, test_other="def test_it(): pass")
    result = pytester.runpytest("-p", "repeat", "--count=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: pytest-repeat would repeat*--agentbench-repeats 3 runs 3 attempts*"])
    assert pytester.runpytest("-p", "repeat", "--count=3", "-m", "not agent_suite").ret == 0


def test_reruns_are_left_out_and_said_so(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makepyfile(rerunfailures=RERUNS)
    result = pytester.runpytest("-p", "rerunfailures", "--reruns=2", "numbers", "-s")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*reruns {0}*", "--reruns and the mark flaky did not run the agent again, *"])
    result = pytester.runpytest("-p", "rerunfailures", "numbers")
    result.stdout.no_fnmatch_line("--reruns and the mark flaky did not run*")
