"""Which cases are flaky: both verdicts though nobody changed anything."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agentbench.gate.baseline import stored_outcomes
from agentbench.gate.flaky import _mixed, flaky_cases, rerun_label, rescued_cases
from agentbench.store import Store, open_store
from tests.report.runs import STARTED, a_case, a_run, an_attempt


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store.db")) as store:
        yield store


def add(
    store: Store, number: int, verdicts: str, branch: str = "main", output: str = "free", rerun_of: str = ""
) -> str:
    """A run of one case; a letter for each repeat: r right, w wrong."""
    run = a_run(f"weather-{number}", rerun_label(rerun_of) if rerun_of else "", 1, output)
    environment = {**run.environment, "git_branch": branch}
    run = replace(run, kind="rerun" if rerun_of else "suite", environment=environment)
    store.create_run(replace(run, created_at=STARTED + timedelta(minutes=number)))
    for repeat, verdict in enumerate(verdicts):
        attempt = an_attempt(0, right=verdict == "r", ttft_ms=10)
        store.add_attempt(run.id, replace(attempt, repeat=repeat), a_case(0))
    return run.id


def is_flaky(store: Store, run_id: str, branch: str = "main") -> bool:
    run = store.get_run(run_id)
    return flaky_cases(store, run, stored_outcomes(store, run_id), rescued_cases(store, run), branch) == ("case_0",)


@pytest.mark.parametrize(
    ("history", "flaky"),
    [
        (["r", "r", "w"], False),
        (["w", "w", "r"], False),
        (["r", "w", "r"], True),
        (["w", "r", "r", "w"], True),
        (["rw"], True),
        (["rw", "rr"], True),
        (["r"], False),
        (["r", "rrw"], True),
    ],
)
def test_one_change_is_a_change_and_two_are_flaky(store: Store, history: list[str], flaky: bool) -> None:
    ids = [add(store, number, verdicts) for number, verdicts in enumerate(history)]
    assert is_flaky(store, ids[-1]) is flaky


def test_a_branch_is_held_against_the_runs_of_the_baseline_s_branch(store: Store) -> None:
    add(store, 0, "r")
    add(store, 1, "w", branch="topic")
    run = add(store, 2, "r", branch="topic")
    assert not is_flaky(store, run, branch="main")
    assert is_flaky(store, run, branch="")
    assert is_flaky(store, run, branch="topic") is False


def test_another_configuration_says_nothing(store: Store) -> None:
    add(store, 0, "r")
    add(store, 1, "w", output="constrained")
    assert not is_flaky(store, add(store, 2, "r"))


def test_a_case_that_a_rerun_got_right_is_flaky(store: Store) -> None:
    run = add(store, 0, "w")
    assert not is_flaky(store, run)
    add(store, 1, "r", rerun_of=run)
    assert is_flaky(store, run)
    assert rescued_cases(store, store.get_run(run)) == ("case_0",)


class Counted(str):
    """A case id that counts how often a set asks for its hash."""

    asked = 0

    def __hash__(self) -> int:
        Counted.asked += 1
        return str.__hash__(self)


def test_the_work_grows_as_the_cases_do() -> None:
    """No set of them all is made for each of them, which was most of the time of a gate on many cases."""
    cases = 300
    verdicts = tuple((Counted(f"c{number}"), passed) for number in range(cases) for passed in (True, False))
    Counted.asked = 0
    assert len(_mixed(verdicts)) == cases
    assert Counted.asked < 20 * cases
