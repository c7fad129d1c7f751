"""What the runs of a pytest session are of: a suite, a part of it, failing cases once more."""

import json
from pathlib import Path

import pytest

from agentbench.store import open_store

pytest_plugins = ["pytester"]

SUITE = """\
name: numbers
mode: gate
dataset: {name: jsonl}
scorers: [{name: includes, texts: [ok]}]
agent: chat
backend: {name: scripted, replies: [{when: "^2[23]$", content: wrong}], default: ok}
run: {max_tries: 1}
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of 24 cases of which the last two are answered wrongly."""
    folder = pytester.mkdir("numbers")
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "cases.jsonl").write_text(
        "\n".join(json.dumps({"id": f"n{n:02}", "input": f"{n:02}"}) for n in range(24))
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    return folder


def kinds(pytester: pytest.Pytester) -> list[tuple[str, int, int]]:
    """Kind, cases and cases of the suite of each run, the newest first, and of the last what `latest` means."""
    with open_store(str(pytester.path / "store.db")) as store:
        runs = [store.get_run(each.id) for each in store.list_runs()] + [store.get_run("latest")]
        return [(run.kind, len(run.case_ids), run.suite_cases) for run in runs]


def test_latest_is_not_the_rerun_of_failing_cases(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.runpytest("numbers", "--agentbench-flake-reruns=1")
    assert kinds(pytester) == [("rerun", 2, 24), ("suite", 24, 24), ("suite", 24, 24)]


@pytest.mark.parametrize(
    ("arguments", "cases"),
    [
        (["numbers/suite.yaml::n00", "numbers/suite.yaml::n01"], 2),
        (["numbers", "-k", "n0 or gate"], 10),
        (["numbers", "--agentbench-limit=5"], 5),
        (["numbers", "--agentbench-limit=5", "-k", "not gate"], 5),
    ],
)
def test_a_run_of_some_cases_is_a_part(
    pytester: pytest.Pytester,
    suite: Path,
    arguments: list[str],
    cases: int,
) -> None:
    pytester.runpytest(*arguments)
    assert kinds(pytester) == [("part", cases, 24), ("part", cases, 24)]


@pytest.mark.parametrize("limit", [5, 24, 99])
def test_a_limit_that_the_suite_itself_has_is_the_suite(
    pytester: pytest.Pytester,
    suite: Path,
    limit: int,
) -> None:
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(text.replace("max_tries: 1", f"max_tries: 1, limit: {limit}"))
    whole = min(limit, 24)
    pytester.runpytest("numbers")
    assert kinds(pytester)[0] == ("suite", whole, whole)
    pytester.runpytest("numbers", "--agentbench-limit=3")
    assert kinds(pytester)[0] == ("part", 3, whole)
