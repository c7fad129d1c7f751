"""Two runs as pairs on case id and repeat, without what has no value on either side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseSample

Pairs = list[tuple[CaseSample, CaseSample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The outcomes of `a` and `b` that are compared: the same repeats of a case on both sides.

    `excluded` counts the repeats left out because a side has no value of one that it attempted, `unmatched` those that
    only one side attempted, of the cases that both did.
    """

    a: list[Outcome]
    b: list[Outcome]
    excluded: int
    unmatched: int


def usable(a: Sequence[Outcome], b: Sequence[Outcome], has_value: Callable[[Outcome], bool]) -> Usable:
    """As many repeats of a case on one side as on the other, and the same.

    The mean of one repeat and the mean of five are distributed differently about the same chance to pass: exchanging
    the runs changes more than the sign then, so that no test by signs or ranks holds its level.
    """
    made_a, made_b = _keys(a), _keys(b)
    valued_a, valued_b = _keys(filter(has_value, a)), _keys(filter(has_value, b))
    kept = valued_a & valued_b
    shared = {case_id for case_id, _ in made_a} & {case_id for case_id, _ in made_b}
    alone = (valued_a - made_b) | (valued_b - made_a)
    return Usable(
        a=[each for each in a if _key(each) in kept],
        b=[each for each in b if _key(each) in kept],
        excluded=len((made_a - valued_a) | (made_b - valued_b)),
        unmatched=sum(case_id in shared for case_id, _ in alone),
    )


def _key(outcome: Outcome) -> tuple[str, int]:
    return outcome.case_id, outcome.repeat


def _keys(outcomes: "Sequence[Outcome] | filter[Outcome]") -> set[tuple[str, int]]:
    return set(map(_key, outcomes))


def pair_cases(a: Sequence[CaseSample], b: Sequence[CaseSample]) -> Pairs:
    """The samples of the cases that both sides have."""
    in_b = {sample.case_id: sample for sample in b}
    return [(sample, in_b[sample.case_id]) for sample in a if sample.case_id in in_b]
