"""Candidates in words: no two values that look alike, and no demonstrations where there are none."""

from tuners.told import changes


def test_values_are_told_as_yaml_has_them() -> None:
    assert changes({"agent.a": None, "agent.b": "None", "agent.c": True, "agent.d": "true"}) == (
        "a=null, b='None', c=true, d='true'"
    )
    assert changes({"agent.a": "", "agent.b": "plain text"}) == "a='', b=plain text"


def test_only_demonstrations_are_counted() -> None:
    assert changes({"agent.tools": [], "agent.demonstrations": []}) == "tools=[], demonstrations=0 examples"
    assert changes({"agent.demonstrations": [{"input": "a", "output": "b"}]}) == "demonstrations=1 examples"
    assert changes({"agent.tools": [{"name": "a"}]}) == "tools=[{'name': 'a'}]"
