"""The examples in docs/tuning-space.md are valid parts of a study.yaml."""

from pathlib import Path
from typing import Any

import yaml

from tests.tuners.space.test_space import Script
from tuners.space.configuration import workflow_of
from tuners.space.instructions import ProposingModel
from tuners.space.space import suggest
from tuners.study.file import checked_study

BLOCKS = (Path(__file__).parents[3] / "docs" / "tuning-space.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
EXAMPLES: list[Any] = [yaml.safe_load(block.partition("```")[0]) for block in BLOCKS]


def test_the_first_example_is_a_study() -> None:
    study = checked_study(EXAMPLES[0], lambda location: str(location))
    settings = suggest(study.parameters(), Script(0.99))
    assert settings["agent.instructions"] == {"proposal": 2}
    assert settings["agent.tools"] == ["search", "calculator", "look_up"]
    assert study.parameters().is_forbidden(
        {"workflow": {"name": "self_consistency", "votes": 3}, "agent.temperature": 1.0}
    )


def test_the_shown_options_of_a_proposing_model_are_its_defaults() -> None:
    model = EXAMPLES[1]["model"]
    serving = model.pop("serving")
    shown = ProposingModel(**model)
    assert shown == ProposingModel(slots=3)
    assert ProposingModel(slots=1, serving=serving).is_named


def test_the_workflows_are_workflows() -> None:
    workflows = (*EXAMPLES[0]["space"]["workflow"], *EXAMPLES[2]["workflow"])
    found = [workflow_of({"workflow": each}) for each in workflows]
    names = [each["name"] if isinstance(each, dict) else each for each in workflows]
    assert [each.name if each else "direct" for each in found] == names
