"""The `tool_loop` agent: calls the model and runs its tool calls until the model answers without a call."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.agents.context import Demonstration, Memory, MemoryConfig, OfferedTools, demonstrated
from agentbench.agents.prompted_calls import (
    ANSWER_NOW,
    ANSWER_SCHEMA,
    LISTED,
    ToolFormat,
    call_schema,
    describe,
    find_calls,
    tool_call_prompt,
)
from agentbench.core.case import Case, JsonSchema, Message
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatClient, ChatRequest, Reply, Toolbox
from agentbench.core.trace import ModelCall, ToolCall

OutputMode = Literal["free", "json_schema", "native_tools"]


class ToolLoopConfig(BaseModel):
    """Options of the `tool_loop` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: OutputMode = Field(
        "native_tools",
        description="free: tools described in the prompt, calls read from the text. json_schema: the same, with the"
        " answer constrained to a call's schema. native_tools: OpenAI tools.",
    )
    parallel: bool = Field(
        False, description="free and json_schema: an answer is a list of calls, empty when no tool fits."
    )
    system_prompt: str | None = Field(
        None, description="Replaces the built-in one; {tools} stands for the tools' descriptions."
    )
    instructions: str | None = Field(None, description="Comes after the system prompt.")
    demonstrations: tuple[Demonstration, ...] = Field(
        (), description="Example exchanges that come before the case's messages."
    )
    memory: MemoryConfig = Field(MemoryConfig(), description="How much of a long conversation the model sees.")
    tools: tuple[str, ...] | None = Field(
        None, description="Names of the tools that are offered, in this order; all of them by default."
    )
    tool_descriptions: Mapping[str, str] = Field(
        default_factory=dict, description="Tool name to a description that replaces the tool's own."
    )
    tool_format: ToolFormat = Field("json", description="How {tools} describes a tool.")
    tools_in: Literal["system", "user"] = Field(
        "system",
        description="free and json_schema: where the tools are described, in {tools} of the system prompt or before the"
        " first question, so that instructions and demonstrations begin every case alike and are computed once.",
    )
    tool_choice: Literal["auto", "required"] = Field("auto", description="native_tools only.")
    repeated_calls: Literal["ask", "continue"] = Field(
        "ask",
        description="When the model repeats its last calls and gets the same results. ask: it is asked to answer the"
        " question, without tools. continue: it may go on repeating them, up to max_turns.",
    )
    max_turns: int = Field(8, gt=0, description="Limit of model calls; one more is a budget failure.")
    max_tokens: int = Field(512, gt=0, description="Limit of tokens of one answer.")
    temperature: float = Field(0.0, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)

    @field_validator("tools")
    @classmethod
    def _no_duplicates(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if twice := next((name for name in value or () if (value or ()).count(name) > 1), None):
            raise ValueError(f"{twice!r} is named twice")
        return value


class ToolLoopAgent:
    """Calls tools until the model answers without a call, or until a call has no result.

    A tool that is only declared (a case's) has no result: calling it ends the loop, and the recorded calls are the
    agent's answer.
    """

    Config = ToolLoopConfig

    def __init__(self, config: ToolLoopConfig) -> None:
        self._config = config
        self._memory = Memory(config.memory)

    def offered(self, tools: Toolbox, record: ChatClient | None = None) -> Toolbox:
        if self._config.tools is None and not self._config.tool_descriptions:
            return tools
        return OfferedTools(tools, self._config.tools, self._config.tool_descriptions, record)

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Reply:
        tools = self.offered(tools, backend)
        conversation = self._messages(case, tools)
        opening = self._opening(case, tools)
        results: list[ToolCall] = []
        is_stuck = False
        for _ in range(self._config.max_turns):
            shown = [*opening, *await self._memory.shown(conversation, backend)]
            reply = await backend.chat(self._request_of_answer(shown) if is_stuck else self._request(shown, tools))
            before, results = results, [] if is_stuck else await self._run_calls(reply, tools)
            if not any(result.executed or result.error for result in results):
                added = (*conversation[len(case.messages) :], *self._last(reply, results))
                return Reply(text=self._answer(reply), messages=added)
            is_stuck = self._config.repeated_calls == "ask" and _outcomes(results) == _outcomes(before)
            if not is_stuck:  # a repetition in the conversation would invite another
                conversation += self._continuation(reply, results)
        raise AttemptError("budget", f"no answer after max_turns={self._config.max_turns} model calls")

    def _last(self, reply: ModelCall, results: Sequence[ToolCall]) -> list[Message]:
        """The final message. A call without a result gets a placeholder, since a later turn can't leave it open."""
        if not results:
            return [{"role": "assistant", "content": self._answer(reply)}]
        return self._continuation(reply, results)

    def _messages(self, case: Case, tools: Toolbox) -> list[Message]:
        """The case's messages; with `tools_in: user`, the tools come before its first question."""
        if not self._tools_in_question:
            return list(case.messages)
        first = next((number for number, each in enumerate(case.messages) if each.get("role") == "user"), None)
        descriptions = describe(tools.specs, self._config.tool_format)
        return [
            {**message, "content": f"{descriptions}\n\n{message['content']}"} if number == first else message
            for number, message in enumerate(case.messages)
        ]

    @property
    def _tools_in_question(self) -> bool:
        return self._config.tools_in == "user" and self._config.output != "native_tools"

    def _opening(self, case: Case, tools: Toolbox) -> list[Message]:
        native = self._config.output == "native_tools"
        default_prompt = (
            "" if native else tool_call_prompt(runs_tools=self._runs_tools(tools), several=self._config.parallel)
        )
        prompt = self._config.system_prompt or default_prompt
        if self._config.instructions:
            prompt = f"{prompt}\n\n{self._config.instructions}".strip()
        examples = demonstrated(self._config.demonstrations, case.messages)
        if not prompt:
            return list(examples)
        descriptions = LISTED if self._tools_in_question else describe(tools.specs, self._config.tool_format)
        content = prompt.replace("{tools}", descriptions)
        return [{"role": "system", "content": content}, *examples]

    def _runs_tools(self, tools: Toolbox) -> bool:
        return any(tools.executes(spec.name) for spec in tools.specs)

    def _request(self, messages: Sequence[Message], tools: Toolbox) -> ChatRequest:
        native = self._config.output == "native_tools" and bool(tools.specs)
        return ChatRequest(
            messages=tuple(messages),
            tools=tools.specs if native else (),
            tool_choice=self._config.tool_choice if native else None,
            response_format=self._response_format(tools),
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            max_tokens=self._config.max_tokens,
        )

    def _request_of_answer(self, messages: Sequence[Message]) -> ChatRequest:
        """Offers no tools: servers differ in what they make of `tool_choice: none`."""
        return ChatRequest(
            messages=(*messages, {"role": "user", "content": ANSWER_NOW}),
            response_format=_as_format(ANSWER_SCHEMA) if self._config.output == "json_schema" else None,
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            max_tokens=self._config.max_tokens,
        )

    def _response_format(self, tools: Toolbox) -> dict[str, object] | None:
        """The schema of the possible calls; None when there is nothing to call, since no answer would match it."""
        if self._config.output != "json_schema" or not tools.specs:
            return None
        return _as_format(call_schema(tools.specs, may_answer=self._runs_tools(tools), several=self._config.parallel))

    async def _run_calls(self, reply: ModelCall, tools: Toolbox) -> list[ToolCall]:
        if self._config.output == "native_tools":
            calls = reply.reply.get("tool_calls") or ()
            return [
                await tools.call(call["function"]["name"], call["function"]["arguments"], call["id"]) for call in calls
            ]
        names = frozenset(spec.name for spec in tools.specs)
        return [await tools.call(call.name, call.arguments) for call in find_calls(reply.answer, names)]

    def _continuation(self, reply: ModelCall, results: Sequence[ToolCall]) -> list[Message]:
        if self._config.output == "native_tools":
            return [
                reply.reply,
                *({"role": "tool", "tool_call_id": r.call_id, "content": _shown(r)} for r in results),
            ]
        results_text = "\n".join(f"Result of {result.name}: {_shown(result)}" for result in results)
        return [{"role": "assistant", "content": reply.text}, {"role": "user", "content": results_text}]

    def _answer(self, reply: ModelCall) -> str:
        if self._config.output != "json_schema":
            return reply.text
        try:
            value = json.loads(reply.answer)
        except json.JSONDecodeError:
            return reply.text
        return str(value["answer"]) if isinstance(value, dict) and "answer" in value else reply.text


def _as_format(schema: JsonSchema) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}


def _outcomes(calls: Sequence[ToolCall]) -> list[tuple[object, ...]]:
    """What was called and what came of it."""
    return [(call.name, call.arguments, call.result, call.error) for call in calls]


def _shown(result: ToolCall) -> str:
    if not result.executed and not result.error:
        return "noted"
    return f"error: {result.error}" if result.error else (result.result or "")
