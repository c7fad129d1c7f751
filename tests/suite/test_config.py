"""Configuration: overrides by dotted path, components, hashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.core.errors import UserError
from agentbench.suite.config import RunConfig, apply_overrides, as_mapping, canonical_hash, parse_overrides

BASE = {
    "agent": {"name": "tool_loop", "output": "free", "max_turns": 3},
    "serving": {"server": "bundled", "max_num_seqs": 4},
}


def test_values_are_read_as_yaml() -> None:
    pairs = ["agent.temperature=0.2", "agent.output=free", "serving.chunked_prefill=false", "run.limit=5"]
    assert parse_overrides(pairs) == {
        "agent.temperature": 0.2,
        "agent.output": "free",
        "serving.chunked_prefill": False,
        "run.limit": 5,
    }


@pytest.mark.parametrize("pair", ["agent.output", "nonsense.key=1", "=1", ""])
def test_a_pair_that_is_no_override_is_refused(pair: str) -> None:
    with pytest.raises(UserError, match="PATH=VALUE"):
        parse_overrides([pair])


def test_an_override_sets_one_key_and_leaves_the_rest() -> None:
    changed = apply_overrides(BASE, {"agent.output": "json_schema", "run.repeats": 3})
    assert changed["agent"] == {"name": "tool_loop", "output": "json_schema", "max_turns": 3}
    assert changed["run"] == {"repeats": 3}
    assert BASE["agent"]["output"] == "free"


@pytest.mark.parametrize("path", ["agent", "agent.name"])
def test_naming_another_implementation_drops_the_options_of_the_first(path: str) -> None:
    assert apply_overrides(BASE, {path: "chat"})["agent"] == {"name": "chat"}


def test_naming_the_same_implementation_keeps_its_options() -> None:
    assert apply_overrides(BASE, {"agent": "tool_loop"})["agent"] == BASE["agent"]


def test_options_of_a_new_implementation_can_follow_its_name() -> None:
    changed = apply_overrides(BASE, {"serving.server": "url", "serving.base_url": "http://x/v1"})
    config = RunConfig.model_validate({"agent": "chat", "serving": changed["serving"]})
    assert config.serving.name == "url"
    assert config.serving.options == {"base_url": "http://x/v1"}


def test_a_configuration_read_from_its_own_mapping_is_equal() -> None:
    config = RunConfig.model_validate(BASE)
    assert RunConfig.model_validate(as_mapping(config)) == config
    assert as_mapping(config)["serving"] == BASE["serving"]


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_the_hash_does_not_depend_on_the_order_of_keys(data: dict[str, object]) -> None:
    assert canonical_hash(data) == canonical_hash(dict(reversed(data.items())))
