"""Any Python callable as an agent, and the chat agent."""

import asyncio
import functools
import threading
from collections.abc import Awaitable

import openai
import pytest

from agentbench.agents.callable import BlockingClient, BlockingTools, CallableAgent, CallableConfig
from agentbench.agents.chat import ChatAgent, ChatConfig
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import ChatClient, ChatRequest, Reply, Toolbox
from agentbench.core.trace import Trace
from agentbench.run.recorder import Recorder
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
    async with CallableAgent(CallableConfig(target=f"{__name__}:{name}", options=options)) as agent:
        return recorder.trace(str(await agent(a_case(), recorder, recorder)))


async def test_a_coroutine_function_is_awaited_with_its_options() -> None:
    trace = await work("async_agent", suffix="!")
    assert trace.output == "five!"
    assert (len(trace.tool_calls), len(trace.model_calls)) == (1, 1)


async def test_a_plain_function_runs_in_a_thread_and_its_result_is_stored_as_json() -> None:
    trace = await work("plain_agent")
    assert trace.output == '{"sum": "5", "said": "five", "tools": ["add"], "runs": true}'
    assert (len(trace.tool_calls), len(trace.model_calls)) == (1, 1)


def over_http(case: Case, base_url: str, api_key: str, model: str, suffix: str = "") -> str:
    with openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0) as client:
        answer = client.chat.completions.create(model=model, messages=list(case.messages))  # type: ignore[arg-type]
    return str(answer.choices[0].message.content) + suffix


def makes_a_coroutine(case: Case, base_url: str, api_key: str) -> Awaitable[str]:
    return asyncio.to_thread(over_http, case, base_url, api_key, "any", "!")


class Stateful:
    """Counts its calls, as an object of a framework might."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tools: BlockingTools, case: Case) -> str:
        self.calls += 1
        return f"{self.calls} {case.id} {tools.executes('add')}"

    async def later(self, backend: ChatClient) -> str:
        return (await backend.chat(ChatRequest(messages=()))).text


STATEFUL = Stateful()
PARTIAL = functools.partial(over_http, suffix="?")
AT_ONCE = threading.Barrier(16, timeout=20)


def meets_the_others(case: Case) -> Reply:
    AT_ONCE.wait()
    return Reply(text="met", messages=({"role": "assistant", "content": "met"},))


@pytest.mark.parametrize(
    ("name", "options", "said", "model_calls"),
    [
        ("over_http", {}, "five", 1),
        ("PARTIAL", {}, "five?", 1),
        ("makes_a_coroutine", {}, "five!", 1),
        ("STATEFUL", {}, "1 c1 True", 0),
        ("STATEFUL.later", {}, "five", 1),
    ],
)
async def test_a_target_is_given_what_its_parameters_name(
    name: str, options: dict[str, str], said: str, model_calls: int
) -> None:
    trace = await work(name, **options)
    assert trace.output == said
    assert [call.text for call in trace.model_calls] == ["five"] * model_calls


async def test_sixteen_plain_functions_run_at_once() -> None:
    agent = CallableAgent(CallableConfig(target=f"{__name__}:meets_the_others"))
    recorder = Recorder(SayBackend("five"), adder(), seed=1)
    answers = await asyncio.gather(*(agent(a_case(), recorder, recorder) for _ in range(16)))
    assert [answer.text for answer in answers if isinstance(answer, Reply)] == ["met"] * 16


class Outliving:
    """A function that goes on when its attempt has ended, and what it then comes to hear."""

    def __init__(self) -> None:
        self.began, self.may_go_on, self.done = threading.Event(), threading.Event(), threading.Event()
        self.heard: list[str] = []

    def __call__(self, case: Case, backend: BlockingClient, tools: BlockingTools, base_url: str, api_key: str) -> str:
        self.began.set()
        self.may_go_on.wait(20)
        request = ChatRequest(messages=case.messages)
        for attempt in (
            lambda: backend.chat(request),
            lambda: tools.call("add", {"a": 2}),
            lambda: over_http(case, base_url, api_key, "any"),
        ):
            try:
                attempt()
            except Exception as error:
                self.heard.append(str(error))
        self.done.set()
        return "too late"


OUTLIVING = Outliving()


@pytest.mark.long
async def test_a_function_that_outlives_its_attempt_reaches_nothing_any_more() -> None:
    recorder = Recorder(SayBackend("five"), adder(), seed=1)
    async with CallableAgent(CallableConfig(target=f"{__name__}:OUTLIVING")) as agent:
        working = asyncio.ensure_future(agent(a_case(), recorder, recorder))
        await asyncio.to_thread(OUTLIVING.began.wait, 20)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        OUTLIVING.may_go_on.set()
        await asyncio.to_thread(OUTLIVING.done.wait, 20)
    model, tool, gateway = OUTLIVING.heard
    assert model == tool == "the attempt has ended"
    assert "Error code: 410" in gateway
    assert recorder.trace().steps == ()


def test_a_parameter_that_nothing_is_given_to_is_told() -> None:
    with pytest.raises(UserError, match=r"its parameter 'd' has no value; it may take case, backend, tools"):
        CallableAgent(CallableConfig(target=f"{__name__}:wants_too_much"))
    with pytest.raises(UserError, match=r"agent\.options has 'sufix', which .* does not take: case, base_url"):
        CallableAgent(CallableConfig(target=f"{__name__}:over_http", options={"sufix": "!"}))


def wants_too_much(a: object, b: object, c: object, d: object) -> str:
    return "nothing"


async def test_a_result_that_is_neither_text_nor_json_is_an_agent_failure() -> None:
    with pytest.raises(AttemptError, match="returned a object; expected text or a JSON value"):
        await work("returns_an_object")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nonsense", "expected file.py:function or package.module:function"),
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
