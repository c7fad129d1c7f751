"""An outcome: what a comparison or a gate needs of an attempt, without its trace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agentbench.errors import FailureKind
from agentbench.score import Attempt
from agentbench.stats.calls import CallMetric, tpot_s, ttft_s

AGENT_FAILURES: frozenset[FailureKind] = frozenset({"agent", "budget", "timeout"})
"""Failures of what is tested: the agent raised, or did not finish within its limits. The other kinds (infra, tool,
grader) are of what it is tested with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt came out.

    `passed` is None when it failed or its verdict is still to come. `scores` are those that are given, by scorer.
    `ttft_s` and `tpot_s` have a value for each model call that was answered and defines one, in seconds.
    """

    case_id: str
    cluster: str
    repeat: int = 0
    passed: bool | None
    failure: FailureKind | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    ttft_s: tuple[float, ...] = ()
    tpot_s: tuple[float, ...] = ()


def outcome_of(attempt: Attempt) -> Outcome:
    return Outcome(
        case_id=attempt.case_id,
        cluster=attempt.cluster,
        repeat=attempt.repeat,
        passed=None if attempt.failure else attempt.passed,
        failure=attempt.failure.kind if attempt.failure else None,
        scores={score.name: score.value for score in attempt.scores if score.passed is not None},
        ttft_s=_of_calls(attempt, ttft_s),
        tpot_s=_of_calls(attempt, tpot_s),
    )


def _of_calls(attempt: Attempt, metric: CallMetric) -> tuple[float, ...]:
    answered = (call for call in attempt.trace.model_calls if call.error is None)
    return tuple(value for call in answered if (value := metric(call)) is not None)


def agent_failures_as_wrong(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes as a gate counts them: an agent that raised or ran out of its limits was not right.

    Left out of the comparison, an agent that breaks on every case it can't solve would pass every gate.
    """
    return [
        replace(outcome, passed=False, failure=None) if outcome.failure in AGENT_FAILURES else outcome
        for outcome in outcomes
    ]
