"""Two runs as pairs on case id, without what failed on either side."""

from collections.abc import Sequence

from agentbench.stats.outcomes import Outcome
from agentbench.stats.samples import CaseSample

Pairs = list[tuple[CaseSample, CaseSample]]


def usable(a: Sequence[Outcome], b: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome], int]:
    """Both sides without the (case, repeat)s that failed on either, and how many of those there are."""
    failed = {(outcome.case_id, outcome.repeat) for outcome in (*a, *b) if outcome.failure}
    kept_a = [outcome for outcome in a if (outcome.case_id, outcome.repeat) not in failed]
    kept_b = [outcome for outcome in b if (outcome.case_id, outcome.repeat) not in failed]
    return kept_a, kept_b, len(failed)


def pair_cases(a: Sequence[CaseSample], b: Sequence[CaseSample]) -> Pairs:
    """The samples of the cases that both sides have."""
    in_b = {sample.case_id: sample for sample in b}
    return [(sample, in_b[sample.case_id]) for sample in a if sample.case_id in in_b]
