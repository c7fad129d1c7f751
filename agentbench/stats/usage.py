"""Token usage of model calls, and its cost: each call at its own model's price."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentbench.core.trace import ModelCall
from agentbench.stats.calls import completion_tokens, last_token_at, ttft_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """The total usage of the calls to one model that have counts. `model` is the requested name.

    `uncounted` calls lack a prompt or completion count, and are missing from the sums.
    """

    model: str
    calls: int
    uncounted: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The total usage of an attempt's model calls.

    A sum covers the calls with a count, and is None when no call has one. `uncounted_prompts`, `uncounted_completions`
    and `uncounted_timed` are the numbers of calls without. `unanswered` counts the calls whose first token has no time;
    `timed_tokens` sums the completion tokens of calls whose last token has one. Times are nanoseconds since the Unix
    epoch: of those calls, the first send and the last token.
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


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of the known counts; None when none is known."""
    counted = [count for count in counts if count is not None]
    return sum(counted) if counted else None


def usage_of(calls: Iterable[ModelCall], anchor: int) -> Usage:
    all_calls = list(calls)
    ends = [(call, at) for call in all_calls if (at := last_token_at(call)) is not None]
    return Usage(
        calls=len(all_calls),
        unanswered=sum(ttft_s(call) is None for call in all_calls),
        prompt_tokens=total(call.prompt_tokens for call in all_calls),
        cached_tokens=total(call.cached_tokens for call in all_calls),
        completion_tokens=total(completion_tokens(call) for call in all_calls),
        timed_tokens=total(completion_tokens(call) for call, _ in ends),
        first_sent_at=min((anchor + call.sent_at for call, _ in ends), default=None),
        last_token_at=max((anchor + at for _, at in ends), default=None),
        uncounted_prompts=sum(call.prompt_tokens is None for call in all_calls if _took_tokens(call)),
        uncounted_completions=sum(call.completion_tokens is None for call in all_calls if _took_tokens(call)),
        uncounted_timed=sum(call.completion_tokens is None for call, _ in ends),
        models=tuple(model_usage(name, all_calls) for name in dict.fromkeys(map(model_of, all_calls))),
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
        before = found.get(each.model)
        found[each.model] = each if before is None else _plus(before, each)
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


Prices = Mapping[str, Mapping[str, float]]
"""Model to the price of a million `prompt`, `cached` and `completion` tokens. Prompt tokens from the cache cost
`cached`, what others do where it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of the calls whose tokens and prices are known; `unknown_calls` are not in it, so that it is the least it was."""

    value: float
    unknown_calls: int


def cost_of(usages: Iterable[ModelUsage], prices: Prices) -> Cost | None:
    """None where no call's model has a price, or none of those that have counted its tokens."""
    all_usages = list(usages)
    priced = [each for each in all_usages if each.model in prices]
    if not any(each.calls > each.uncounted for each in priced):
        return None
    unknown = sum(each.uncounted if each.model in prices else each.calls for each in all_usages)
    return Cost(value=sum(_cost(each, prices[each.model]) for each in priced), unknown_calls=unknown)


def call_cost(call: ModelCall, prices: Prices) -> float | None:
    """None where its model has no price, or its tokens were not counted."""
    if call.prompt_tokens is None or call.completion_tokens is None:
        return None
    found = cost_of([model_usage(model_of(call), [call])], prices)
    return None if found is None else found.value


def _cost(usage: ModelUsage, price: Mapping[str, float]) -> float:
    prompt = price.get("prompt", 0.0)
    spent = (
        (usage.prompt_tokens - usage.cached_tokens) * prompt,
        usage.cached_tokens * price.get("cached", prompt),
        usage.completion_tokens * price.get("completion", 0.0),
    )
    return sum(spent) / 1e6
