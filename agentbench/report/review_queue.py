"""Which attempts a person should look at, and in which order."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentbench.core.attempt import Attempt
from agentbench.core.errors import unknown_name
from agentbench.store import Store

Key = tuple[str, int]
"""Case id and repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to review: a `sample` drawn by seed, those whose `scorer` was least sure (`uncertain`), or those whose
    verdict is not that of the run `against`.

    `scorer` leaves out attempts that it gave no score. A reviewer is not asked twice.
    """

    reviewer: str
    sample: int | None = None
    scorer: str | None = None
    uncertain: bool = False
    against: str | None = None
    seed: int = 0


def review_queue(store: Store, run_id: str, wanted: Wanted) -> list[Key]:
    """The attempts that did not fail and have no label of the reviewer, in the order of case and repeat.

    With `uncertain` those whose value is nearest to 0.5 come first, and a sample is taken from the front.
    """
    seen = {(label.case_id, label.repeat) for label in store.labels(run_id) if label.reviewer == wanted.reviewer}
    attempts = [attempt for attempt in store.measured_attempts(run_id) if attempt.failure is None]
    if wanted.scorer is not None:
        known = {score.name for attempt in attempts for score in attempt.scores}
        if wanted.scorer not in known:
            raise unknown_name("scorer", wanted.scorer, known)
        attempts = [each for each in attempts if any(score.name == wanted.scorer for score in each.scores)]
    if wanted.against is not None:
        before = _verdicts(store, wanted.against)
        attempts = [each for each in attempts if _changed(each, before)]
    queue = sorted((each for each in attempts if _key(each) not in seen), key=_key)
    return list(map(_key, _drawn(queue, wanted)))


def _key(attempt: Attempt) -> Key:
    return attempt.case_id, attempt.repeat


def _verdicts(store: Store, run_id: str) -> Mapping[Key, bool]:
    found = store.verdicts(run_id)
    return {(case_id, repeat): passed for case_id, repeat, passed in found if passed is not None}


def _changed(attempt: Attempt, before: Mapping[Key, bool]) -> bool:
    return attempt.passed is not None and before.get(_key(attempt), attempt.passed) != attempt.passed


def _drawn(queue: Sequence[Attempt], wanted: Wanted) -> list[Attempt]:
    if wanted.uncertain:
        return sorted(queue, key=lambda attempt: _certainty(attempt, wanted.scorer))[: wanted.sample]
    if wanted.sample is None or wanted.sample >= len(queue):
        return list(queue)
    chosen = random.Random(wanted.seed).sample(range(len(queue)), wanted.sample)
    return [queue[index] for index in sorted(chosen)]


def _certainty(attempt: Attempt, scorer: str | None) -> float:
    """How far the score (the least sure of all, without a scorer) is from 0.5; one without a verdict is not sure."""
    values = [
        abs(score.value - 0.5) if score.passed is not None else 0.0
        for score in attempt.scores
        if scorer in (None, score.name)
    ]
    return min(values, default=0.0)
