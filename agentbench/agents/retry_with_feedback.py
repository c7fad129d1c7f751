"""An agent whose answer is checked, and that is told what is wrong with it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.draft import DraftTools, draft, messages_of
from agentbench.agents.inner import WithInner
from agentbench.agents.step_model import StepModelOptions
from agentbench.case import Case
from agentbench.config import Component
from agentbench.errors import UserError
from agentbench.protocols import ChatClient, Reply, Toolbox
from agentbench.references import load_object
from agentbench.thoughts import answer_in

Check = Callable[[Case, Reply, DraftTools], str | None]


class RetryWithFeedbackConfig(BaseModel):
    """Options of the `retry_with_feedback` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that answers.")
    retry_model: StepModelOptions | None = Field(
        None, description="A model of its own for the answers after the first; the run's by default."
    )
    retries: int = Field(2, ge=1, le=20, description="Most times it is told what is wrong.")
    check: str = Field(
        "calls",
        description="calls: a declared tool is called, with arguments that fit its schema. json: the text is JSON."
        " module:function(case, text): None, or what is wrong.",
    )
    feedback: str = Field(
        "That is not right: {problem}. Answer again.", description="What it is told; {problem} stands for the problem."
    )


class RetryWithFeedbackAgent(WithInner):
    """Runs `inner`, checks its answer, and runs it again with the answer and the problem in the conversation.

    The last answer counts, right or not; only its declared calls are the attempt's.
    """

    Config = RetryWithFeedbackConfig

    def __init__(self, config: RetryWithFeedbackConfig) -> None:
        super().__init__(config.inner, "retry", config.retry_model)
        self._config = config
        self._check = _check(config.check)

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Reply:
        offered = {spec.name for spec in self.offered(tools).specs}
        case = replace(case, tools=tuple(tool for tool in case.tools if tool.name in offered))
        reply, drafted = await draft(self._inner, case, backend, tools)
        for _ in range(self._config.retries):
            problem = self._check(case, reply, drafted)
            if problem is None:
                break
            told = {"role": "user", "content": self._config.feedback.replace("{problem}", problem)}
            case = replace(case, messages=(*case.messages, *messages_of(reply), told))
            reply, drafted = await draft(self._inner, case, self._model.client(backend), tools)
        await drafted.keep()
        return reply


def _check(name: str) -> Check:
    if name == "calls":
        return _calls
    if name == "json":
        return _json
    try:
        found = load_object(name)
    except ValueError as error:
        raise UserError(f"agent.check = {name!r}: use calls, json or module:function ({error})") from None
    return lambda case, reply, drafted: found(case, answer_in(reply.text))


def _json(case: Case, reply: Reply, drafted: DraftTools) -> str | None:
    try:
        json.loads(answer_in(reply.text))
    except (ValueError, RecursionError) as error:
        return f"the answer is not valid JSON ({error})"
    return None


def _calls(case: Case, reply: Reply, drafted: DraftTools) -> str | None:
    """What is wrong with the calls of the case's tools, None when nothing is or the case has none."""
    if not case.tools:
        return None
    if not drafted.declared:
        return f"no tool was called; there are: {', '.join(tool.name for tool in case.tools)}"
    schemas = {tool.name: tool.parameters for tool in case.tools}
    return next(filter(None, (_misfit(name, arguments, schemas) for name, arguments, _ in drafted.declared)), None)


def _misfit(name: str, arguments: Any, schemas: dict[str, Any]) -> str | None:
    if name not in schemas:
        return f"there is no tool {name!r}; there are: {', '.join(schemas)}"
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else dict(arguments)
    except (ValueError, RecursionError) as error:
        return f"the arguments of {name} are not valid JSON ({error})"
    found = next(iter(validator_for(schemas[name])(schemas[name]).iter_errors(value)), None)
    return f"the arguments of {name} don't fit: {found.message[:300]}" if found else None
