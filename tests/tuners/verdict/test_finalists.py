"""The choice of the finalists and of the winner."""

from tuners.search.candidate import Candidate, End
from tuners.search.evaluator import Answers
from tuners.verdict.finalists import choose_finalists, choose_winner, is_as_good

CASES = 100
OBJECTIVES = ("quality", "goodput")


def scores(right: int) -> dict[str, float]:
    return {f"c{index}": float(index < right) for index in range(CASES)}


def candidate(number: int, right: int, goodput: float, end: End = "finished", excess: float = -1.0) -> Candidate:
    return Candidate(
        number=number,
        settings={},
        end=end,
        rung=5,
        quality=right / CASES,
        scores=scores(right),
        figures={"goodput": goodput},
        excess={"ttft_p95": excess},
    )


def test_as_good_means_within_one_standard_error_of_the_paired_difference() -> None:
    # One case of 100 differs: the mean difference is 0.01, its standard error 0.01.
    assert is_as_good(scores(49), scores(50))
    # Four do: 0.04 against 0.0197.
    assert not is_as_good(scores(46), scores(50))
    assert is_as_good(scores(50), scores(50))
    assert not is_as_good({}, scores(50))


def test_the_finalists_are_the_best_then_the_best_in_goodput_that_is_as_good_then_the_next() -> None:
    tried = [candidate(1, 50, 1.0), candidate(2, 48, 1.5), candidate(3, 49, 3.0), candidate(4, 20, 9.0)]
    assert [each.number for each in choose_finalists(tried, 2, OBJECTIVES)] == [1, 3]
    assert [each.number for each in choose_finalists(tried, 3, OBJECTIVES)] == [1, 3, 2]
    assert [each.number for each in choose_finalists(tried, 2, ("quality",))] == [1, 3]


def test_without_a_finished_candidate_those_that_the_budget_ended_are_finalists() -> None:
    cut = candidate(1, 30, 1.0, end="out of budget")
    dropped, beyond = candidate(2, 90, 1.0, end="dropped"), candidate(3, 90, 1.0, excess=0.5)
    assert choose_finalists([cut, dropped, beyond], 2, OBJECTIVES) == [cut]
    assert choose_finalists([dropped, beyond], 2, OBJECTIVES) == []
    assert choose_finalists([cut, candidate(4, 10, 1.0)], 2, OBJECTIVES)[0].number == 4


def test_the_winner_is_decided_by_the_fresh_answers() -> None:
    a, b = candidate(1, 50, 1.0), candidate(2, 49, 3.0)

    def finals(of_a: int, of_b: int) -> dict[int, Answers]:
        return {1: Answers(scores=scores(of_a), fresh=CASES), 2: Answers(scores=scores(of_b), fresh=CASES)}

    assert choose_winner([a, b], finals(50, 49), OBJECTIVES) is b
    assert choose_winner([a, b], finals(50, 40), OBJECTIVES) is a
    assert choose_winner([a, b], finals(50, 49), ("quality",)) is a
    assert choose_winner([a, b], {1: finals(10, 0)[1]}, OBJECTIVES) is a


def test_the_baseline_wins_a_tie_unless_another_objective_gains() -> None:
    base, other = candidate(0, 100, 1.0), candidate(1, 100, 1.04)
    quality = ("quality",)
    for objectives in (quality, OBJECTIVES):
        chosen = choose_finalists([base, other, candidate(2, 100, 1.03)], 2, objectives)
        assert 0 in [each.number for each in chosen]
        finals = {each.number: Answers(scores=scores(100), fresh=0) for each in chosen}
        assert choose_winner(chosen, finals, objectives) is base
    faster = candidate(1, 100, 1.5)
    finals = {number: Answers(scores=scores(100), fresh=0) for number in (0, 1)}
    assert choose_winner([base, faster], finals, quality) is base  # goodput is no objective
    assert choose_winner([base, faster], finals, OBJECTIVES) is faster
    better = {0: Answers(scores=scores(90), fresh=0), 1: Answers(scores=scores(100), fresh=0)}
    assert choose_winner([base, other], better, quality) is other
