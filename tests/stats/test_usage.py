"""What tokens cost, by the price of each call's model, and what is not known of it."""

import pytest

from agentbench.core.trace import ModelCall
from agentbench.stats.outcomes import outcomes_of
from agentbench.stats.serving import ServingSummary, summarize_serving
from agentbench.stats.usage import Cost, cost_of
from tests.stats.attempts import a_call, an_attempt

PRICES = {"small": {"prompt": 1.0, "completion": 2.0}, "large": {"prompt": 10.0, "cached": 1.0, "completion": 30.0}}


def a_priced_call(model: str, prompt: int | None, completion: int | None, cached: int | None = None) -> ModelCall:
    return a_call(0, (10, 20), completion, request={"model": model}, prompt_tokens=prompt, cached_tokens=cached)


def summary(*calls: ModelCall) -> ServingSummary:
    return summarize_serving(outcomes_of([an_attempt("a", calls=calls)]))


def costs(found: Cost | None) -> tuple[object, ...]:
    return () if found is None else (found.value, found.unknown_calls)


def test_each_call_is_priced_as_its_own_model() -> None:
    found = summary(
        a_priced_call("large", 100, 10, cached=60), a_priced_call("small", 1000, 50), a_priced_call("small", 500, 50)
    )
    assert [(each.model, each.calls) for each in found.models] == [("small", 2), ("large", 1)]
    expected = (1500 * 1.0 + 100 * 2.0 + 40 * 10.0 + 60 * 1.0 + 10 * 30.0) / 1e6
    assert costs(cost_of(found.models, PRICES)) == (pytest.approx(expected), 0)


def test_cached_tokens_cost_what_others_do_where_they_have_no_price() -> None:
    found = cost_of(summary(a_priced_call("small", 100, 0, cached=60)).models, PRICES)
    assert costs(found) == (pytest.approx(100 / 1e6), 0)


def test_a_call_without_usage_or_price_is_said_to_be_missing() -> None:
    calls = (a_priced_call("small", 100, 10), a_priced_call("small", None, None), a_priced_call("unpriced", 10, 10))
    found = summary(*calls)
    assert costs(cost_of(found.models, PRICES)) == (pytest.approx(120 / 1e6), 2)
    assert (found.prompt_tokens, found.uncounted_prompts) == (110, 1)
    assert (found.completion_tokens, found.uncounted_completions, found.uncounted_timed) == (20, 1, 1)
    assert cost_of(found.models, {}) is None
    assert cost_of(summary(a_priced_call("small", None, None)).models, PRICES) is None


def test_a_call_that_broke_before_anything_came_is_not_missed() -> None:
    broken = a_call(0, (), error="refused", request={"model": "small"})
    found = summary(a_priced_call("small", 100, 10), broken)
    assert (found.uncounted_prompts, found.uncounted_completions) == (0, 0)
    assert costs(cost_of(found.models, PRICES)) == (pytest.approx(120 / 1e6), 0)
