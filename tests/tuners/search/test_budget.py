"""The remaining budget, and the line that describes a budget."""

import pytest

from tuners.search.budget import BudgetOptions, Spending, describe_budget
from tuners.search.evaluator import Allowance

RUNGS = (8, 16, 100)


@pytest.mark.parametrize(
    ("options", "pace", "expected"),
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
def test_the_line_says_how_many_candidates_the_budget_allows(
    options: dict[str, int], pace: float | None, expected: str
) -> None:
    line = describe_budget(BudgetOptions.model_validate(options), RUNGS, 1, pace)
    assert line.startswith("the budget: a candidate needs 8 case-runs for the first rung and 100 for all of train; ")
    assert expected in line


def test_each_repeat_is_a_case_run() -> None:
    assert "needs 24 case-runs for the first rung and 300 for all of train" in describe_budget(
        BudgetOptions(case_runs=900), RUNGS, 3, None
    )


def test_the_remaining_budget_is_never_negative() -> None:
    spending = Spending(BudgetOptions(case_runs=10, seconds=5.0), clock=lambda: 100.0, case_runs=12, before=7.0)
    assert spending.allowance() == Allowance(case_runs=0, seconds=0.0)
    assert Spending(BudgetOptions(trials=3)).allowance() == Allowance()
