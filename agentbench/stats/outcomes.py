"""What an attempt came to: all that the figures, a comparison or a gate need of it, small enough for a baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agentbench.core.attempt import Attempt
from agentbench.core.errors import FailureKind
from agentbench.core.trace import ModelCall, UserTurn
from agentbench.stats.calls import NS, completion_tokens, first_token_s, last_token_at, latency_s, tpot_s, ttft_s

AGENT_FAILURES: frozenset[FailureKind] = frozenset({"agent", "budget", "timeout"})
"""Failures of what is tested: the agent raised, or did not finish within its limits. The other kinds (infra, tool,
grader) are of what it is tested with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """What the calls to one model took together, of those that counted it. `model` is the name that was asked for.

    `uncounted` calls lack the count of their prompt or of their completion: what they took is not in the sums.
    """

    model: str
    calls: int
    uncounted: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an attempt's model calls took together; counts are None where no call has one, and sums of those that have
    one where some do: `uncounted_prompts`, `uncounted_completions` and `uncounted_timed` are how many have none.

    `unanswered` counts the calls whose first token has no time, `timed_tokens` the completion tokens of those whose
    last one has. Times are nanoseconds since the Unix epoch: of the first call that was sent, and of the last token,
    among those.
    """

    calls: int = 0
    unanswered: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    timed_tokens: int | None = None
    first_sent_at: int | None = None
    last_token_at: int | None = None
    uncounted_prompts: int = 0
    uncounted_completions: int = 0
    uncounted_timed: int = 0
    models: tuple[ModelUsage, ...] = ()


NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict, the scores, the latencies and the usage of one attempt.

    `passed` is None when it failed, or its verdict is still to come; `scores` has those whose verdict is there. The
    latencies have one value in seconds for each model call that defines it, in the order of the calls. `began_at`
    and `ended_at` are nanoseconds since the Unix epoch; `agent_s` is the time between them, without a simulated
    user's turns, `cold_start_s` how long the agent took to be ready where the attempt had to start it.
    """

    case_id: str
    cluster: str
    repeat: int = 0
    passed: bool | None
    failure: FailureKind | None = None
    tries: int = 1
    scores: Mapping[str, float] = field(default_factory=dict)
    ttft_s: tuple[float, ...] = ()
    first_token_s: tuple[float, ...] = ()
    tpot_s: tuple[float, ...] = ()
    latency_s: tuple[float, ...] = ()
    usage: Usage = NOTHING
    began_at: int = 0
    ended_at: int = 0
    agent_s: float = 0.0
    cold_start_s: float | None = None


def outcome_of(attempt: Attempt) -> Outcome:
    calls = [call for call in attempt.trace.model_calls if call.error is None]
    measured = {
        metric.__name__: tuple(value for call in calls if (value := metric(call)) is not None)
        for metric in (ttft_s, first_token_s, tpot_s, latency_s)
    }
    return Outcome(
        case_id=attempt.case_id,
        cluster=attempt.cluster,
        repeat=attempt.repeat,
        passed=None if attempt.failure else attempt.passed,
        failure=attempt.failure.kind if attempt.failure else None,
        tries=attempt.tries,
        scores={score.name: score.value for score in attempt.scores if score.passed is not None},
        **measured,
        usage=_usage(attempt.trace.model_calls, attempt.wall_anchor_ns),
        began_at=attempt.wall_anchor_ns + attempt.started_at,
        ended_at=attempt.wall_anchor_ns + attempt.ended_at,
        agent_s=_agent_s(attempt),
        cold_start_s=None if attempt.trace.cold_start_ns is None else attempt.trace.cold_start_ns * NS,
    )


def outcomes_of(attempts: Iterable[Attempt]) -> list[Outcome]:
    """The outcomes; equal scores are one object, since a run has few different ones."""
    shared: dict[tuple[tuple[str, float], ...], Mapping[str, float]] = {}
    found = []
    for attempt in attempts:
        outcome = outcome_of(attempt)
        scores = shared.setdefault(tuple(outcome.scores.items()), outcome.scores)
        found.append(replace(outcome, scores=scores))
    return found


def agent_failures_as_wrong(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes as a gate counts them: an agent that raised or ran out of its limits was not right.

    Left out of the comparison, an agent that breaks on every case it can't solve would pass every gate.
    """
    return [agent_failure_as_wrong(outcome) for outcome in outcomes]


def agent_failure_as_wrong(outcome: Outcome) -> Outcome:
    return replace(outcome, passed=False, failure=None) if outcome.failure in AGENT_FAILURES else outcome


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of those that are known, None when none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _usage(calls: Iterable[ModelCall], anchor: int) -> Usage:
    made = list(calls)
    ends = [(call, at) for call in made if (at := last_token_at(call)) is not None]
    return Usage(
        calls=len(made),
        unanswered=sum(ttft_s(call) is None for call in made),
        prompt_tokens=total(call.prompt_tokens for call in made),
        cached_tokens=total(call.cached_tokens for call in made),
        completion_tokens=total(completion_tokens(call) for call in made),
        timed_tokens=total(completion_tokens(call) for call, _ in ends),
        first_sent_at=min((anchor + call.sent_at for call, _ in ends), default=None),
        last_token_at=max((anchor + at for _, at in ends), default=None),
        uncounted_prompts=sum(call.prompt_tokens is None for call in made if _took_tokens(call)),
        uncounted_completions=sum(call.completion_tokens is None for call in made if _took_tokens(call)),
        uncounted_timed=sum(call.completion_tokens is None for call, _ in ends),
        models=tuple(model_usage(name, made) for name in dict.fromkeys(map(model_of, made))),
    )


def _took_tokens(call: ModelCall) -> bool:
    """One that broke before anything came may have taken none."""
    return call.error is None or bool(call.chunk_at)


def model_of(call: ModelCall) -> str:
    """The name that was asked for; empty where none was."""
    return str(call.request.get("model") or "")


def model_usage(model: str, calls: Iterable[ModelCall]) -> ModelUsage:
    """What the calls to this model took, of any."""
    own = [call for call in calls if model_of(call) == model]
    lacking = [call.prompt_tokens is None or call.completion_tokens is None for call in own if _took_tokens(call)]
    return ModelUsage(
        model=model,
        calls=len(own),
        uncounted=sum(lacking),
        prompt_tokens=sum(call.prompt_tokens or 0 for call in own),
        cached_tokens=sum(call.cached_tokens or 0 for call in own),
        completion_tokens=sum(completion_tokens(call) or 0 for call in own),
    )


def added(usages: Iterable[ModelUsage]) -> tuple[ModelUsage, ...]:
    """One for each model, those of most calls first."""
    found: dict[str, ModelUsage] = {}
    for each in usages:
        known = found.get(each.model)
        found[each.model] = each if known is None else _plus(known, each)
    return tuple(sorted(found.values(), key=lambda each: (-each.calls, each.model)))


def _plus(a: ModelUsage, b: ModelUsage) -> ModelUsage:
    return ModelUsage(
        model=a.model,
        calls=a.calls + b.calls,
        uncounted=a.uncounted + b.uncounted,
        prompt_tokens=a.prompt_tokens + b.prompt_tokens,
        cached_tokens=a.cached_tokens + b.cached_tokens,
        completion_tokens=a.completion_tokens + b.completion_tokens,
    )


def _agent_s(attempt: Attempt) -> float:
    thinking = sum(step.ended_at - step.started_at for step in attempt.trace.steps if isinstance(step, UserTurn))
    return (attempt.ended_at - attempt.started_at - thinking) * NS
