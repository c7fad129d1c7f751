"""Two runs as pairs on case id, without what failed on either side."""

from collections.abc import Sequence

from agentbench.score import Attempt
from agentbench.stats.samples import CaseSample

Pairs = list[tuple[CaseSample, CaseSample]]


def usable(a: Sequence[Attempt], b: Sequence[Attempt]) -> tuple[list[Attempt], list[Attempt], int]:
    """Both sides without the (case, repeat)s that failed on either, and how many of those there are."""
    failed = {(attempt.case_id, attempt.repeat) for attempt in (*a, *b) if attempt.failure}
    kept_a = [attempt for attempt in a if (attempt.case_id, attempt.repeat) not in failed]
    kept_b = [attempt for attempt in b if (attempt.case_id, attempt.repeat) not in failed]
    return kept_a, kept_b, len(failed)


def pair_cases(a: Sequence[CaseSample], b: Sequence[CaseSample]) -> Pairs:
    """The samples of the cases that both sides have."""
    in_b = {sample.case_id: sample for sample in b}
    return [(sample, in_b[sample.case_id]) for sample in a if sample.case_id in in_b]
