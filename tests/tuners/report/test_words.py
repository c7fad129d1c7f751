"""Candidates in words: no two values that look alike, and no demonstrations where there are none."""

from tuners.report.terminal import _against
from tuners.report.words import changes


def test_values_are_told_as_yaml_has_them() -> None:
    assert changes({"agent.a": None, "agent.b": "None", "agent.c": True, "agent.d": "true"}) == (
        "a=null, b='None', c=true, d='true'"
    )
    assert changes({"agent.a": "", "agent.b": "plain text"}) == "a='', b=plain text"


def test_only_demonstrations_are_counted() -> None:
    assert changes({"agent.tools": [], "agent.demonstrations": []}) == "tools=[], demonstrations=0 examples"
    assert changes({"agent.demonstrations": [{"input": "a", "output": "b"}]}) == "demonstrations=1 examples"
    assert changes({"agent.tools": [{"name": "a"}]}) == "tools=[{'name': 'a'}]"


def test_a_verdict_on_too_few_clusters_has_no_interval_and_says_what_was_left_out() -> None:
    passes = {
        "rate_a": 0.75,
        "rate_b": 0.5,
        "difference": 0.25,
        "low": None,
        "high": None,
        "p_value": 0.5,
        "cases": 8,
        "excluded": 2,
    }
    assert _against(passes, "the baseline") == (
        "75.0 % against 50.0 % of the baseline: +25.0 pts (no interval: too few clusters; p = 0.5), 8 cases, paired,"
        " 2 attempts left out that failed"
    )
