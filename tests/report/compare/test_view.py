"""Several runs: comparisons with the first run, p adjusted over all comparisons, and the Pareto front."""

from dataclasses import replace
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.report.compare.page import runs_page
from agentbench.report.compare.view import compare_view, runs_view
from agentbench.stats.hypothesis_tests import holm
from agentbench.store import Store
from tests.report.runs import a_case, a_run, an_attempt


def third(store: Store) -> None:
    """A third run that is slower than both others and right less often."""
    run = replace(a_run("weather-ccc333", "third", 60, "free", minutes=2), config_hash="c" * 64)
    store.create_run(run)
    pairs = [(an_attempt(n, right=n % 9 == 0, ttft_ms=2000), a_case(n)) for n in range(60)]
    store.add_attempts(run.id, pairs)


def test_a_comparison_of_several_equals_that_of_two(store: Store) -> None:
    free, constrained = store.get_run("free"), store.get_run("constrained")
    view, pair = runs_view(store, [free, constrained]), compare_view(store, free, constrained)
    (found,) = view.comparisons
    assert found.passes == pair.passes
    assert found.ttft == pair.ttft
    assert view.adjusted == (pair.adjusted,)


def test_p_is_adjusted_over_every_comparison(store: Store) -> None:
    third(store)
    view = runs_view(store, [store.get_run(name) for name in ("free", "constrained", "third")])
    raw: dict[tuple[int, str], float] = {}
    for place, each in enumerate(view.comparisons):
        assert each.passes.p_value is not None
        assert each.ttft is not None
        assert each.tpot is not None
        raw |= {(place, "pass_rate"): each.passes.p_value, (place, "ttft_p50"): each.ttft.p_value}
        raw |= {(place, "tpot_p50"): each.tpot.p_value}
    expected = holm({f"{place} {name}": p for (place, name), p in raw.items()})
    found = {f"{place} {name}": p for place, each in enumerate(view.adjusted) for name, p in each.items()}
    assert found == expected
    assert any(found[key] > raw[int(key[0]), key[2:]] for key in found)


@pytest.mark.long
def test_a_difference_on_the_page_is_coloured_by_its_adjusted_p(store: Store) -> None:
    view = runs_view(store, [store.get_run("free"), store.get_run("constrained")])
    assert '<span class="good">' in str(runs_page(view, store).body)
    none = replace(view, adjusted=(dict.fromkeys(view.adjusted[0], 0.06),))
    body = str(runs_page(none, store).body)
    assert '<span class="good">' not in body
    assert '<span class="bad">' not in body


def test_the_front_has_no_dominated_run(store: Store) -> None:
    third(store)
    view = runs_view(store, [store.get_run(name) for name in ("free", "constrained", "third")])
    assert view.to_json()["pareto"]["ttft_p95_s"] == ["weather-20260304-050700-bbb222"]


@pytest.mark.long
def test_a_changed_case_has_both_transcripts(store: Store) -> None:
    view = runs_view(store, [store.get_run("free"), store.get_run("constrained")])
    body = str(runs_page(view, store).body)
    better = view.comparisons[0].passes.better_in_b
    assert f"Better in B: {len(better)}" in body
    assert body.count('<div class="sides">') == min(15, len(better)) + min(
        15, len(view.comparisons[0].passes.better_in_a)
    )
    assert body.count('<div data-run="weather-20260304-050600-aaa111">') == body.count('<div class="sides">')


def test_one_run_or_too_many_is_an_error(store: Store, tmp_path: Path) -> None:
    for count in (1, 9):
        with pytest.raises(UserError, match=f"{count} runs? to compare: expected 2 to 8"):
            runs_view(store, [store.get_run("free")] * count)
