"""What tokens cost: each call's at the price of its own model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentbench.core.trace import ModelCall
from agentbench.stats.outcomes import ModelUsage, model_of, model_usage

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
    made = list(usages)
    priced = [each for each in made if each.model in prices]
    if not any(each.calls > each.uncounted for each in priced):
        return None
    unknown = sum(each.uncounted if each.model in prices else each.calls for each in made)
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
