"""Contracts of the tuner's seams, as pytest classes: subclass one in your tests and define the fixtures it names.

The evaluator's tests are coroutines, so they need pytest-asyncio with `asyncio_mode = auto`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

import pytest

from tuners.search.candidate import Candidate
from tuners.search.evaluator import Allowance, Evaluator, OutOfBudget
from tuners.search.journal import Journal, Progress
from tuners.space.space import Settings

__all__ = ["EvaluatorContract", "JournalContract", "SharedJournalContract"]

SETTINGS: Settings = {"agent.a": 1, "serving.word": "even"}
OTHERS: Settings = {"agent.a": 2}


def ended_candidate(number: int, settings: Settings = SETTINGS) -> Candidate:
    """A candidate that finished."""
    return Candidate(
        number=number,
        settings=settings,
        end="finished",
        rung=1,
        quality=0.5,
        scores={"c1": 1.0, "c2": 0.0},
        figures={"ttft_p50": 0.25},
        case_runs=2,
        seconds=1.5,
    )


def progress_at(number: int, rung: int) -> Progress:
    """A candidate that began `rung`."""
    candidate = Candidate(
        number=number, settings=SETTINGS, end="unfinished", rung=rung, quality=0.5, scores={"c1": 1.0}
    )
    return Progress(rung=rung, had=3, case_runs=4, seconds=2.5, candidate=candidate)


def in_json(found: Progress | Candidate | None) -> object:
    """Its content as JSON, in which a list equals a tuple."""
    return json.loads(json.dumps(asdict(found))) if found is not None else None


def all_in_json(found: Iterable[Candidate]) -> list[object]:
    return [in_json(each) for each in found]


class JournalContract:
    """Needs two fixtures: `journal` is empty; `restart` is a function that ends the journal's process and returns the
    journal of the same study in the next process.
    """

    def test_a_candidate_begins_once(self, journal: Journal) -> None:
        assert journal.claim(0, SETTINGS)
        assert not journal.claim(0, SETTINGS)
        assert dict(journal.begun()) == {0: SETTINGS}
        assert journal.abandoned() == {}
        assert all_in_json(journal.news()) == []

    def test_candidates_are_in_the_order_of_their_beginnings(self, journal: Journal) -> None:
        for number in (3, 1, 2):
            assert journal.claim(number, SETTINGS)
        assert list(journal.begun()) == [3, 1, 2]

    def test_no_more_candidates_begin_than_the_limit(self, journal: Journal) -> None:
        assert journal.claim(0, SETTINGS, most=1)
        assert not journal.claim(1, SETTINGS, most=1)
        assert list(journal.begun()) == [0]
        assert journal.claim(1, SETTINGS, most=2)

    def test_an_end_is_news_once(self, journal: Journal) -> None:
        for number in (0, 1):
            assert journal.claim(number, SETTINGS)
        journal.end(ended_candidate(1))
        assert all_in_json(journal.news()) == all_in_json([ended_candidate(1)])
        assert all_in_json(journal.news()) == []
        journal.end(ended_candidate(0))
        assert all_in_json(journal.news()) == all_in_json([ended_candidate(0)])
        assert list(journal.begun()) == [0, 1]

    def test_progress_is_the_last_one_recorded(self, journal: Journal) -> None:
        assert journal.progress(0) is None
        assert journal.claim(0, SETTINGS)
        assert journal.progress(0) is None
        for rung in (0, 1):
            journal.go_on(0, progress_at(0, rung))
        assert in_json(journal.progress(0)) == in_json(progress_at(0, 1))
        journal.end(ended_candidate(0))
        assert journal.progress(0) is None

    def test_an_unfinished_candidate_is_taken_over(self, journal: Journal, restart: Callable[[], Journal]) -> None:
        for number in (2, 0):
            assert journal.claim(number, SETTINGS)
        journal.go_on(2, progress_at(2, 1))
        again = restart()
        assert list(again.abandoned()) == list(again.begun()) == [2, 0]
        assert in_json(again.progress(2)) == in_json(progress_at(2, 1))
        # It continues with its first settings, and does not count as a new one.
        assert again.claim(2, OTHERS, most=2)
        assert again.abandoned() == {0: SETTINGS}
        assert dict(again.begun()) == {2: SETTINGS, 0: SETTINGS}
        assert not again.claim(2, SETTINGS)
        again.end(ended_candidate(2))
        assert all_in_json(again.news()) == all_in_json([ended_candidate(2)])

    def test_an_ended_candidate_is_news_to_the_next_process_and_is_not_taken_over(
        self, journal: Journal, restart: Callable[[], Journal]
    ) -> None:
        assert journal.claim(0, SETTINGS)
        journal.end(ended_candidate(0))
        list(journal.news())
        again = restart()
        assert again.abandoned() == {}
        assert not again.claim(0, SETTINGS)
        assert all_in_json(again.news()) == all_in_json([ended_candidate(0)])


class SharedJournalContract(JournalContract):
    """For a journal that several workers share: it also needs the fixture `other`, the journal of another worker."""

    def test_two_workers_never_have_the_same_candidate(self, journal: Journal, other: Journal) -> None:
        assert journal.claim(0, SETTINGS)
        assert not other.claim(0, OTHERS)
        assert other.claim(1, OTHERS)
        assert not journal.claim(1, SETTINGS)
        assert dict(journal.begun()) == dict(other.begun()) == {0: SETTINGS, 1: OTHERS}
        assert journal.abandoned() == other.abandoned() == {}

    def test_all_workers_share_the_limit(self, journal: Journal, other: Journal) -> None:
        assert journal.claim(0, SETTINGS, most=1)
        assert not other.claim(1, OTHERS, most=1)

    def test_each_worker_gets_every_end(self, journal: Journal, other: Journal) -> None:
        assert journal.claim(0, SETTINGS)
        assert other.claim(1, OTHERS)
        journal.end(ended_candidate(0))
        assert all_in_json(other.news()) == all_in_json([ended_candidate(0)])
        other.end(ended_candidate(1, OTHERS))
        assert all_in_json(other.news()) == all_in_json([ended_candidate(1, OTHERS)])
        assert all_in_json(journal.news()) == all_in_json([ended_candidate(0), ended_candidate(1, OTHERS)])

    def test_each_worker_sees_the_progress_of_the_others(self, journal: Journal, other: Journal) -> None:
        assert journal.claim(0, SETTINGS)
        journal.go_on(0, progress_at(0, 1))
        assert in_json(other.progress(0)) == in_json(progress_at(0, 1))


class EvaluatorContract:
    """Needs four fixtures: `evaluator` is new; `cases` are at least eight; `settings` are valid for it; `lossless` are
    knobs that it can measure under those settings.
    """

    def test_equal_settings_share_their_answers(
        self, evaluator: Evaluator, settings: Settings, lossless: Settings
    ) -> None:
        one = evaluator.configuration(settings)
        assert one.settings == settings
        assert evaluator.configuration(dict(settings)).answers == one.answers
        assert evaluator.configuration(settings, 1).seed == 1

    async def test_an_answer_is_computed_once(
        self, evaluator: Evaluator, cases: Sequence[str], settings: Settings
    ) -> None:
        configuration = evaluator.configuration(settings)
        assert (evaluator.attempts_run(configuration, cases), evaluator.spent()) == (0, 0)
        first = await evaluator.answer(configuration, cases[:6])
        second = await evaluator.answer(evaluator.configuration(settings), cases[:8])
        assert (first.fresh, second.fresh) == (6, 2)
        assert (first.complete, second.complete) == (True, True)
        assert (first.attempts, second.attempts, second.failed) == (6, 8, 0)
        assert set(first.scores) == set(cases[:6])
        assert set(second.scores) == set(cases[:8])
        assert all(0 <= score <= 1 for score in second.scores.values())
        assert {case: second.scores[case] for case in first.scores} == first.scores
        assert evaluator.attempts_run(configuration, cases[4:]) == 4
        assert evaluator.spent() == 8

    async def test_a_lossless_knob_shares_the_answers(
        self, evaluator: Evaluator, cases: Sequence[str], settings: Settings, lossless: Settings
    ) -> None:
        first = await evaluator.answer(evaluator.configuration(settings), cases[:4])
        other = await evaluator.answer(evaluator.configuration({**settings, **lossless}), cases[:4])
        assert other.fresh == 0
        assert other.scores == first.scores

    async def test_another_seed_needs_new_answers(
        self, evaluator: Evaluator, cases: Sequence[str], settings: Settings
    ) -> None:
        for seed in (0, 1):
            assert (await evaluator.answer(evaluator.configuration(settings, seed), cases[:4])).fresh == 4

    async def test_no_attempt_exceeds_the_allowance(
        self, evaluator: Evaluator, cases: Sequence[str], settings: Settings
    ) -> None:
        configuration = evaluator.configuration(settings)
        rest = len(cases) - 5
        first = await evaluator.answer(configuration, cases, Allowance(case_runs=5))
        none = await evaluator.answer(configuration, cases, Allowance(case_runs=0))
        last = await evaluator.answer(configuration, cases, Allowance(case_runs=rest))
        assert (first.fresh, first.complete, len(first.scores)) == (5, False, 5)
        assert (none.fresh, none.complete, len(none.scores)) == (0, False, 5)
        assert (last.fresh, last.complete, len(last.scores)) == (rest, True, len(cases))
        assert evaluator.spent() == len(cases)

    async def test_a_knob_is_measured_once(
        self, evaluator: Evaluator, cases: Sequence[str], settings: Settings, lossless: Settings
    ) -> None:
        configuration = evaluator.configuration(settings)
        await evaluator.answer(configuration, cases)
        before = evaluator.spent()
        with pytest.raises(OutOfBudget):
            await evaluator.measure(configuration, lossless, Allowance(case_runs=0))
        assert evaluator.spent() == before
        measured = await evaluator.measure(configuration, lossless)
        again = await evaluator.measure(configuration, lossless, Allowance(case_runs=0))
        assert measured.replayed > 0
        assert measured.figures
        assert (again.figures, again.replayed) == (measured.figures, 0)
        assert evaluator.spent() == before + measured.replayed
