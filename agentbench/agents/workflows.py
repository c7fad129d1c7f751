"""Agents that run an inner agent: after a plan, again with feedback on its answer, or several times with a vote.

The vote is self-consistency (Wang et al. 2022).
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.prompted_calls import ToolFormat, describe
from agentbench.agents.steps import DraftClient, DraftTools, StepModelOptions, WithInner, draft, messages_of
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.protocols import ChatClient, ChatRequest, Reply, Toolbox
from agentbench.core.trace import answer_in
from agentbench.references import load_object
from agentbench.suite.config import Component

PLAN = "Make a short plan for answering the user: numbered steps, each naming the tool it uses. Tools:\n{tools}"
ACT = "Follow this plan:\n{plan}"


class PlanThenActConfig(BaseModel):
    """Options of the `plan_then_act` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that acts.")
    plan_model: StepModelOptions | None = Field(
        None, description="A model of its own for the plan; the run's by default."
    )
    plan_prompt: str = Field(PLAN, description="Asks for the plan; {tools} stands for the tools' descriptions.")
    act_prompt: str = Field(ACT, description="Gives the acting agent the plan; {plan} stands for it.")
    tool_format: ToolFormat = "signature"
    max_plan_tokens: int = Field(200, gt=0)
    temperature: float = Field(0.0, ge=0)


class PlanThenActAgent(WithInner):
    """Asks the model for a plan and adds it as a system message before the conversation that `inner` works on."""

    Config = PlanThenActConfig

    def __init__(self, config: PlanThenActConfig) -> None:
        super().__init__(config.inner, "plan", config.plan_model)
        self._config = config

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str | Reply:
        prompt = self._config.plan_prompt.replace(
            "{tools}", describe(self.offered(tools).specs, self._config.tool_format)
        )
        request = ChatRequest(
            messages=({"role": "system", "content": prompt}, *case.messages),
            temperature=self._config.temperature,
            max_tokens=self._config.max_plan_tokens,
        )
        plan = (await self._model.client(backend).chat(request)).answer
        plan_message = {"role": "system", "content": self._config.act_prompt.replace("{plan}", plan)}
        return await self._inner(replace(case, messages=(plan_message, *case.messages)), backend, tools)


Check = Callable[[Case, Reply, DraftTools], str | None]


class RetryWithFeedbackConfig(BaseModel):
    """Options of the `retry_with_feedback` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that answers.")
    retry_model: StepModelOptions | None = Field(
        None, description="A model of its own for the answers after the first; the run's by default."
    )
    retries: int = Field(2, ge=1, le=20, description="Limit of corrections.")
    check: str = Field(
        "calls",
        description="calls: a declared tool is called, with arguments that fit its schema. json: the text is JSON."
        " module:function(case, text): None, or what is wrong.",
    )
    feedback: str = Field(
        "That is not right: {problem}. Answer again.", description="The correction; {problem} stands for the problem."
    )


class RetryWithFeedbackAgent(WithInner):
    """Runs `inner`, checks its answer, and runs it again with the answer and the problem in the conversation.

    The last answer counts, right or wrong; only its declared calls are recorded.
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
            feedback = {"role": "user", "content": self._config.feedback.replace("{problem}", problem)}
            case = replace(case, messages=(*case.messages, *messages_of(reply), feedback))
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
    """The problem with the calls of the case's tools; None when they are right or the case has no tools."""
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


class SelfConsistencyConfig(BaseModel):
    """Options of the `self_consistency` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that answers several times.")
    votes: int = Field(3, ge=1, le=64)
    temperature: float = Field(0.7, gt=0, description="Temperature of each vote; at 0 all votes would be the same.")


class SelfConsistencyAgent(WithInner):
    """Runs `inner` `votes` times concurrently, each with its own seeds; the most frequent answer wins, the earliest on
    a tie.

    Two votes agree when they call the same declared tools with the same arguments. Votes without such calls agree when
    their answers differ only in case and white space. Only the winner's declared calls are recorded. Executable tools
    are executed for every vote.
    """

    Config = SelfConsistencyConfig

    def __init__(self, config: SelfConsistencyConfig) -> None:
        super().__init__(config.inner)
        self._config = config

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Reply:
        clients = [
            DraftClient(backend, _seed(case.id, number), self._config.temperature)
            for number in range(self._config.votes)
        ]
        drafts = await asyncio.gather(*(draft(self._inner, case, client, tools) for client in clients))
        keys = [_key(reply, drafted) for reply, drafted in drafts]
        most = Counter(keys).most_common(1)[0][0]
        reply, winner = drafts[keys.index(most)]
        await winner.keep()
        return reply


def _seed(case_id: str, number: int) -> int:
    """31 bits, the same in every run."""
    digest = hashlib.blake2b(f"vote\0{case_id}\0{number}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _key(reply: Reply, drafted: DraftTools) -> str:
    if not drafted.declared:
        return " ".join(answer_in(reply.text).casefold().split())
    calls = [
        (name, arguments if isinstance(arguments, str) else dict(arguments)) for name, arguments, _ in drafted.declared
    ]
    return json.dumps(calls, sort_keys=True, default=str)
