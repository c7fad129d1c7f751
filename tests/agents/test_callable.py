"""Any Python callable as an agent, and the chat agent."""

import pytest

from agentbench.agents.blocking import BlockingClient, BlockingTools
from agentbench.agents.callable import CallableAgent, CallableConfig
from agentbench.agents.chat import ChatAgent, ChatConfig
from agentbench.case import Case
from agentbench.errors import AttemptError, UserError
from agentbench.protocols import ChatClient, ChatRequest, Toolbox
from agentbench.recorder import Recorder
from agentbench.trace import Trace
from tests.fakes import SayBackend, a_case, adder


async def async_agent(case: Case, backend: ChatClient, tools: Toolbox, suffix: str = "") -> str:
    await tools.call("add", {"a": 2, "b": 3})
    return (await backend.chat(ChatRequest(messages=case.messages))).text + suffix


def plain_agent(case: Case, backend: BlockingClient, tools: BlockingTools) -> dict[str, object]:
    result = tools.call("add", '{"a": 2, "b": 3}').result
    text = backend.chat(ChatRequest(messages=case.messages)).text
    return {"sum": result, "said": text, "tools": [spec.name for spec in tools.specs], "runs": tools.executes("add")}


async def returns_an_object(case: Case, backend: ChatClient, tools: Toolbox) -> object:
    return object()


NOT_A_FUNCTION = 3


async def work(name: str, **options: object) -> Trace:
    recorder = Recorder(SayBackend("five"), adder(), seed=1)
    agent = CallableAgent(CallableConfig(target=f"{__name__}:{name}", options=options))
    return recorder.trace(await agent(a_case(), recorder, recorder))


async def test_a_coroutine_function_is_awaited_with_its_options() -> None:
    trace = await work("async_agent", suffix="!")
    assert trace.output == "five!"
    assert (len(trace.tool_calls), len(trace.model_calls)) == (1, 1)


async def test_a_plain_function_runs_in_a_thread_and_its_result_is_stored_as_json() -> None:
    trace = await work("plain_agent")
    assert trace.output == '{"sum": "5", "said": "five", "tools": ["add"], "runs": true}'
    assert (len(trace.tool_calls), len(trace.model_calls)) == (1, 1)


async def test_a_result_that_is_neither_text_nor_json_is_an_agent_failure() -> None:
    with pytest.raises(AttemptError, match="returned a object; expected text or a JSON value"):
        await work("returns_an_object")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nonsense", "expected package.module:function"),
        ("no_such_module:run", "can't be imported"),
        (f"{__name__}:missing", "can't be imported"),
        (f"{__name__}:NOT_A_FUNCTION", "is a int, not a function"),
    ],
)
def test_a_target_that_is_none_is_told(target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CallableAgent(CallableConfig(target=target))


async def test_chat_sends_the_messages_and_returns_the_text() -> None:
    backend = SayBackend("hello")
    recorder = Recorder(backend, adder(), seed=3)
    agent = ChatAgent(ChatConfig(system_prompt="Be brief.", max_tokens=9))
    assert await agent(a_case(), recorder, recorder) == "hello"
    [request] = backend.requests
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert (request.max_tokens, request.temperature, request.seed, request.tools) == (9, 0.0, 3, ())
