"""Options of the bundled server whose default has changed are stated, so that runs before and after differ."""

from typing import Any

from agentbench.servers.bundled import BundledConfig
from agentbench.suite.config import RunConfig, as_mapping
from agentbench.suite.former_defaults import as_it_ran, stated

BUNDLED = {"server": "bundled", "model": "m.gguf"}
URL = {"name": "url", "base_url": "http://localhost:1/v1"}


def config(**sections: Any) -> RunConfig:
    return RunConfig.model_validate({"agent": "chat", **sections})


def step_of(found: RunConfig) -> Any:
    return as_mapping(found)["agent"]["plan_model"]["serving"]


def test_the_default_quantization_is_stated_and_an_older_run_had_none() -> None:
    written = config(serving=BUNDLED)
    assert BundledConfig().quantization == "auto"
    assert as_mapping(stated(written))["serving"] == {**BUNDLED, "quantization": "auto"}
    assert as_mapping(as_it_ran(written))["serving"] == {**BUNDLED, "quantization": "none"}
    assert stated(stated(written)) == stated(written)


def test_a_written_quantization_is_kept() -> None:
    written = config(serving={**BUNDLED, "quantization": "int8"})
    assert stated(written) == as_it_ran(written) == written


def test_a_configuration_without_the_bundled_server_stays_as_it_was() -> None:
    """Its hash too, so that its history goes on."""
    inner = {"name": "plan_then_act", "inner": "chat", "plan_model": {"serving": URL}}
    for written in (config(serving=URL), config(backend="scripted"), config(agent=inner, serving=URL)):
        assert as_mapping(stated(written)) == as_mapping(as_it_ran(written)) == as_mapping(written)


def test_the_server_of_a_step_states_it_too() -> None:
    planning = {"name": "plan_then_act", "inner": "chat", "plan_model": {"serving": {"model": "m.gguf"}}}
    written = config(agent=planning, serving=URL)
    assert step_of(stated(written)) == {**BUNDLED, "quantization": "auto"}
    assert step_of(as_it_ran(written)) == {**BUNDLED, "quantization": "none"}
    around = config(agent={"name": "self_consistency", "inner": planning}, serving=URL)
    assert as_mapping(stated(around))["agent"]["inner"] == as_mapping(stated(written))["agent"]
