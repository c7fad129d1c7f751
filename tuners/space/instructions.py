"""The kind of parameter whose values are instructions: named templates, texts, and a model's proposals."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.suite.config import Component, Serving

TemplateName = Literal["chain_of_thought", "plan_then_act", "decompose", "terse", "check", "read_closely"]

TEMPLATES: Mapping[TemplateName, str] = {
    "chain_of_thought": (
        "Think the task through one step after another before you answer. Say what is given, what is asked, and what"
        " follows from it. Then give the answer in the form that was asked for."
    ),
    "plan_then_act": (
        "First make a plan of a few steps, and decide which tool each step needs. Then carry the plan out in order, and"
        " change it when a result says that it is wrong."
    ),
    "decompose": (
        "Take the task apart into the smallest questions that can be answered on their own. Answer them one by one, and"
        " put the answers together to that of the whole."
    ),
    "terse": "Answer with what was asked for and nothing else: no greeting, no explanation, no word of the question.",
    "check": (
        "When you have an answer, compare it with the task word by word: every name, number and unit, every condition."
        " Mend what differs before you give it."
    ),
    "read_closely": (
        "Read every word of the task and of the tools' descriptions. Take values over as they stand there, and make up"
        " none that are not given."
    ),
}
"""Instructions of kinds that are known to help, by name; the texts are our own."""

STRICT = ConfigDict(extra="forbid", frozen=True)

SLOT = "proposal"
"""The key of a slot: `{"proposal": 0}` stands for a text that a model will propose."""


class ProposingModel(BaseModel):
    """The model that proposes instructions: the study's own, or one that `serving` or `backend` names."""

    model_config = STRICT

    slots: int = Field(ge=1, description="How many instructions it proposes, each when the sampler first picks it.")
    minibatch: int = Field(12, ge=2, description="Train cases on which a proposal must score higher than its parent.")
    tries: int = Field(2, ge=1, description="Most proposals for a slot; then it has its parent's text.")
    failures: int = Field(4, ge=1, description="Most failing train cases in the prompt.")
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(256, gt=0, description="Most tokens of a proposal.")
    timeout_s: float = Field(120.0, gt=0, description="Seconds that a proposal may take.")
    serving: Serving | None = Field(None, description="A server of its own; the study's by default.")
    backend: Component | None = Field(None, description="A backend of its own; the study's by default.")

    @property
    def is_named(self) -> bool:
        return self.serving is not None or self.backend is not None


class Sources(BaseModel):
    """The sources of instructions, in the order of the values."""

    model_config = STRICT

    templates: tuple[TemplateName, ...] = Field((), description="Texts that come with the tuner, by name.")
    texts: tuple[str | None, ...] = Field((), description="Texts of your own; null means no instruction.")
    model: ProposingModel | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> "Sources":
        if not self.templates and not self.texts and self.model is None:
            raise ValueError("propose needs templates, texts or a model")
        return self


class Propose(BaseModel):
    """One of a fixed number of instructions: the templates, the texts, then the model's slots."""

    model_config = STRICT

    propose: Sources
    when: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def values(self) -> tuple[Any, ...]:
        """The texts, then the model's slots."""
        texts = (*(TEMPLATES[name] for name in self.propose.templates), *self.propose.texts)
        slots = self.propose.model.slots if self.propose.model else 0
        return (*texts, *({SLOT: number} for number in range(slots)))

    def has(self, value: Any) -> bool:
        """Whether the value is one of the suggested ones."""
        return value in self.values

    @property
    def examples(self) -> tuple[Any, ...]:
        return tuple("An instruction." if slot_of(value) is not None else value for value in self.values)


def slot_of(value: Any) -> int | None:
    """The slot's number; None for a value that is no slot."""
    return int(value[SLOT]) if isinstance(value, Mapping) and set(value) == {SLOT} else None
