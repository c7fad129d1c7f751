"""What a budget has left, and the line that says what it allows."""

import pytest

from tuners.search.budget import BudgetOptions, Spending, describe_budget
from tuners.search.evaluator import Allowance

RUNGS = (8, 16, 100)


@pytest.mark.parametrize(
    ("options", "pace", "said"),
    [
        ({"trials": 9}, None, "9 candidates take at most 900"),
        (
            {"case_runs": 150},
            None,
            "150 case-runs are enough for the baseline and the first rung of 6 others, or for all of train of 1",
        ),
        ({"case_runs": 60}, None, "60 case-runs are too few for all of train, so no candidate can finish"),
        (
            {"seconds": 240},
            2.5,
            "240 s are about 600 case-runs at 2.5/s (the pace of the last run, without server starts); these are",
        ),
        ({"seconds": 240}, None, "no run of this suite is stored, so the pace of 240 s is known after the first rung"),
    ],
)
def test_what_it_is_enough_for(options: dict[str, int], pace: float | None, said: str) -> None:
    line = describe_budget(BudgetOptions.model_validate(options), RUNGS, 1, pace)
    assert line.startswith("the budget: a candidate needs 8 case-runs for the first rung and 100 for all of train; ")
    assert said in line


def test_repeats_are_case_runs_too() -> None:
    assert "needs 24 case-runs for the first rung and 300 for all of train" in describe_budget(
        BudgetOptions(case_runs=900), RUNGS, 3, None
    )


def test_what_is_left_is_never_less_than_nothing() -> None:
    spending = Spending(BudgetOptions(case_runs=10, seconds=5.0), clock=lambda: 100.0, case_runs=12, before=7.0)
    assert spending.allowance() == Allowance(case_runs=0, seconds=0.0)
    assert Spending(BudgetOptions(trials=3)).allowance() == Allowance()
