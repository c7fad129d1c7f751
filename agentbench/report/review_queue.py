"""Which attempts a person should review, and in which order."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentbench.core.attempt import Attempt
from agentbench.core.errors import unknown_name
from agentbench.store import Store

AttemptKey = tuple[str, int]
"""Case id and repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSelection:
    """Which attempts to review.

    `sample` limits their number: a random sample by `seed`, or with `uncertain` the attempts whose score is nearest to
    0.5. `scorer` selects the attempts that this scorer scored. `against` names another run and selects the attempts
    whose verdict differs there. Attempts that `reviewer` has labelled are left out.
    """

    reviewer: str
    sample: int | None = None
    scorer: str | None = None
    uncertain: bool = False
    against: str | None = None
    seed: int = 0


def review_queue(store: Store, run_id: str, selection: ReviewSelection) -> list[AttemptKey]:
    """The selected attempts that did not fail and that the reviewer has not labelled.

    They are in the order of case id and repeat; with `uncertain`, the attempts with a score nearest to 0.5 come first.
    """
    labelled = {(label.case_id, label.repeat) for label in store.labels(run_id) if label.reviewer == selection.reviewer}
    attempts = [attempt for attempt in store.measured_attempts(run_id) if attempt.failure is None]
    if selection.scorer is not None:
        scorers = {score.name for attempt in attempts for score in attempt.scores}
        if selection.scorer not in scorers:
            raise unknown_name("scorer", selection.scorer, scorers)
        attempts = [each for each in attempts if any(score.name == selection.scorer for score in each.scores)]
    if selection.against is not None:
        before = _verdicts(store, selection.against)
        attempts = [each for each in attempts if _changed(each, before)]
    queue = sorted((each for each in attempts if _key(each) not in labelled), key=_key)
    return list(map(_key, _select(queue, selection)))


def _key(attempt: Attempt) -> AttemptKey:
    return attempt.case_id, attempt.repeat


def _verdicts(store: Store, run_id: str) -> Mapping[AttemptKey, bool]:
    found = store.verdicts(run_id)
    return {(case_id, repeat): passed for case_id, repeat, passed in found if passed is not None}


def _changed(attempt: Attempt, before: Mapping[AttemptKey, bool]) -> bool:
    return attempt.passed is not None and before.get(_key(attempt), attempt.passed) != attempt.passed


def _select(queue: Sequence[Attempt], selection: ReviewSelection) -> list[Attempt]:
    if selection.uncertain:
        return sorted(queue, key=lambda attempt: _certainty(attempt, selection.scorer))[: selection.sample]
    if selection.sample is None or selection.sample >= len(queue):
        return list(queue)
    chosen = random.Random(selection.seed).sample(range(len(queue)), selection.sample)
    return [queue[index] for index in sorted(chosen)]


def _certainty(attempt: Attempt, scorer: str | None) -> float:
    """The distance of the scorer's value from 0.5; without a scorer, the smallest distance of all scores. A score
    without a verdict counts as 0."""
    values = [
        abs(score.value - 0.5) if score.passed is not None else 0.0
        for score in attempt.scores
        if scorer in (None, score.name)
    ]
    return min(values, default=0.0)
