"""The tool-using agent in its three output modes."""

import json

import jsonschema
import pytest

from agentbench.agents.prompted_calls import describe
from agentbench.agents.tool_loop import ToolLoopAgent, ToolLoopConfig
from agentbench.core.case import JsonSchema, ToolSpec
from agentbench.core.errors import AttemptError
from agentbench.core.trace import Trace
from agentbench.run.recorder import Recorder
from agentbench.tools import CaseToolbox
from tests.fakes import SayBackend, a_case, adder, calls, declared


async def work(backend: SayBackend, tools: CaseToolbox, **options: object) -> Trace:
    recorder = Recorder(backend, tools, seed=7)
    agent = ToolLoopAgent(ToolLoopConfig.model_validate(options))
    return recorder.trace((await agent(a_case(), recorder, recorder)).text)


async def test_native_tools_are_run_and_their_results_shown() -> None:
    backend = SayBackend(calls(("add", '{"a": 2, "b": 3}'), ("add", '{"a": 1}')), "It is 5.")
    trace = await work(backend, adder(), output="native_tools")
    assert trace.output == "It is 5."
    assert [call.result for call in trace.tool_calls] == ["5", "2"]
    assert [step.__class__.__name__ for step in trace.steps] == ["ModelCall", "ToolCall", "ToolCall", "ModelCall"]
    shown = backend.requests[1].messages[-2:]
    assert [(message["role"], message["tool_call_id"], message["content"]) for message in shown] == [
        ("tool", "call_0", "5"),
        ("tool", "call_1", "2"),
    ]
    assert backend.requests[0].tool_choice == "auto"
    assert [spec.name for spec in backend.requests[0].tools] == ["add"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [('{"a": "x"}', "a: Input should be a valid integer"), ("{", "not valid JSON"), ("[1]", "not an object")],
)
async def test_what_the_model_got_wrong_is_shown_to_it(arguments: str, error: str) -> None:
    backend = SayBackend(calls(("add", arguments)), "done")
    trace = await work(backend, adder())
    assert error in str(trace.tool_calls[0].error)
    assert error in backend.requests[1].messages[-1]["content"]


async def test_an_unknown_tool_is_told_with_the_known_ones() -> None:
    trace = await work(SayBackend(calls(("subtract", "{}")), "done"), adder())
    assert trace.tool_calls[0].error == "there is no tool 'subtract'; there are: add"


async def test_a_declared_tool_ends_the_loop_with_its_call_recorded() -> None:
    backend = SayBackend(calls(("look_up", '{"a": 1}')))
    trace = await work(backend, declared("look_up"))
    [call] = trace.tool_calls
    assert (call.name, call.arguments, call.executed, call.result) == ("look_up", {"a": 1}, False, None)
    assert len(backend.requests) == 1


async def test_a_model_that_never_answers_is_a_budget_failure() -> None:
    with pytest.raises(AttemptError, match="max_turns=2") as caught:
        await work(SayBackend(calls(("add", '{"a": 1}'))), adder(), max_turns=2)
    assert caught.value.kind == "budget"


async def test_a_model_that_repeats_its_calls_is_asked_for_its_answer() -> None:
    call = calls(("add", '{"a": 2, "b": 3}'))
    backend = SayBackend(call, call, "It is 5.")
    trace = await work(backend, adder(), output="native_tools")
    assert (trace.output, len(trace.tool_calls)) == ("It is 5.", 2)
    _, called, result, question = backend.requests[2].messages
    assert (called["role"], result["content"]) == ("assistant", "5")
    assert question == {"role": "user", "content": "Answer the question."}
    assert (backend.requests[2].tools, backend.requests[2].tool_choice) == ((), None)


async def test_the_answer_that_is_asked_for_fits_its_schema() -> None:
    call = '{"name": "add", "arguments": {"a": 2, "b": 3}}'
    backend = SayBackend(call, call, '{"answer": "5"}')
    trace = await work(backend, adder(), output="json_schema")
    assert trace.output == "5"
    assert (backend.requests[2].response_format or {})["json_schema"]["schema"]["required"] == ["answer"]


async def test_neither_the_repetition_nor_the_question_for_an_answer_stays_in_the_conversation() -> None:
    call = calls(("add", '{"a": 2, "b": 3}'))
    recorder = Recorder(SayBackend(call, call, "It is 5."), adder(), seed=7)
    reply = await ToolLoopAgent(ToolLoopConfig())(a_case(), recorder, recorder)
    assert [message["role"] for message in reply.messages] == ["assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    ("second", "options"),
    [('{"a": 2, "b": 4}', {}), ('{"a": 2, "b": 3}', {"repeated_calls": "continue"})],
)
async def test_other_calls_and_repeats_on_request_go_on(second: str, options: dict[str, str]) -> None:
    backend = SayBackend(calls(("add", '{"a": 2, "b": 3}')), calls(("add", second)), "done")
    await work(backend, adder(), **options)
    assert [spec.name for spec in backend.requests[2].tools] == ["add"]


async def test_json_schema_mode_constrains_the_answer_to_a_call() -> None:
    backend = SayBackend('{"name": "look_up", "arguments": {"a": 4}}')
    trace = await work(backend, declared("look_up"), output="json_schema")
    assert trace.tool_calls[0].arguments == {"a": 4}
    request = backend.requests[0]
    assert request.tools == ()
    schema = (request.response_format or {})["json_schema"]["schema"]
    assert schema["properties"]["name"] == {"const": "look_up"}
    assert schema["properties"]["arguments"]["additionalProperties"] is False
    assert '"look_up"' in request.messages[0]["content"]


async def test_json_schema_mode_runs_tools_until_an_answer_comes() -> None:
    backend = SayBackend('{"name": "add", "arguments": {"a": 2, "b": 3}}', '{"answer": "5"}')
    trace = await work(backend, adder(), output="json_schema")
    assert (trace.output, trace.tool_calls[0].result) == ("5", "5")
    assert backend.requests[1].messages[-1]["content"] == "Result of add: 5"
    branches = (backend.requests[0].response_format or {})["json_schema"]["schema"]["anyOf"]
    assert branches[-1]["required"] == ["answer"]


async def test_parallel_lets_an_answer_have_several_calls_or_none() -> None:
    both = '[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {"a": 2}}]'
    for text, expected in ((both, [("f", {"a": 1}), ("g", {"a": 2})]), ("[]", [])):
        backend = SayBackend(text)
        recorder = Recorder(backend, declared("f", "g"), seed=0)
        agent = ToolLoopAgent(ToolLoopConfig(output="json_schema", parallel=True))
        await agent(a_case(), recorder, recorder)
        assert [(call.name, call.arguments) for call in recorder.trace().tool_calls] == expected
    [request] = backend.requests
    assert "answer with []" in request.messages[0]["content"]
    assert request.response_format is not None
    schema = request.response_format["json_schema"]["schema"]
    for right in (both, "[]"):
        jsonschema.validate(json.loads(right), schema)
    for wrong in (
        '{"name": "f", "arguments": {"a": 1}}',
        '[{"name": "h", "arguments": {}}]',
        both.replace('"a": 1', ""),
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(wrong), schema)


async def test_parallel_where_tools_are_run_takes_calls_or_an_answer() -> None:
    backend = SayBackend(
        '[{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 5}}]', '{"answer": "8"}'
    )
    recorder = Recorder(backend, adder(), seed=0)
    agent = ToolLoopAgent(ToolLoopConfig(output="json_schema", parallel=True))
    assert (await agent(a_case(), recorder, recorder)).text == "8"
    assert [call.result for call in recorder.trace().tool_calls] == ["2", "6"]
    response_format = backend.requests[0].response_format
    assert response_format is not None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([], response_format["json_schema"]["schema"])


@pytest.mark.parametrize(
    "text",
    [
        'Sure! {"name": "look_up", "arguments": {"a": 4}} is the call.',
        '```json\n{"name": "look_up", "parameters": {"a": 4}}\n```',
        '{"look_up": {"a": 4}}',
        "I would call look_up(a=4).",
        "[look_up(a=4)]",
    ],
)
async def test_free_mode_reads_calls_from_the_text(text: str) -> None:
    trace = await work(SayBackend(text), declared("look_up"), output="free")
    assert [(call.name, call.arguments) for call in trace.tool_calls] == [("look_up", {"a": 4})]


async def test_free_text_without_a_call_is_the_answer() -> None:
    trace = await work(SayBackend("The result {of it} is 5; see look_up(4)."), declared("look_up"), output="free")
    assert (trace.tool_calls, trace.output) == ((), "The result {of it} is 5; see look_up(4).")


NUMBERS = {"type": "array", "items": {"type": "number"}}
CARDS = {"type": "array", "items": {"type": "array", "items": {"enum": ["A", 1]}}}
SCHOOL = {"type": "object", "properties": {"name": {"type": "string"}, "marks": NUMBERS}}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (NUMBERS, "array of number"),
        ({"type": "array", "items": {"type": "number", "format": "float"}}, "array of float"),
        (CARDS, 'array of array of one of "A", 1'),
        (SCHOOL, "object of name (string), marks (array of number)"),
        ({"type": "array", "items": {}}, "array"),
        ({"type": "object"}, "object"),
        ({}, "any"),
    ],
)
def test_a_typed_signature_says_what_an_array_and_an_object_are_made_of(schema: JsonSchema, shown: str) -> None:
    spec = ToolSpec(name="f", description="Does.", parameters={"type": "object", "properties": {"x": schema}})
    assert describe((spec,), "typed") == f"f(x=None): Does.\n  x ({shown}): "
    assert describe((spec,), "signature") == f"f(x=None): Does.\n  x ({schema.get('type', 'any')}): "


async def test_the_system_prompt_can_be_replaced_and_describes_tools_as_signatures() -> None:
    backend = SayBackend("no call")
    await work(backend, declared("look_up"), output="free", system_prompt="Use:\n{tools}", tool_format="signature")
    assert backend.requests[0].messages[0]["content"] == (
        "Use:\nlook_up(a, b=None): Does look_up.\n  a (integer): \n  b (integer): "
    )


async def test_a_signature_may_leave_out_what_is_optional() -> None:
    backend = SayBackend("no call")
    await work(backend, declared("look_up"), output="free", system_prompt="{tools}", tool_format="required")
    assert backend.requests[0].messages[0]["content"] == "look_up(a): Does look_up.\n  a (integer): "


async def test_tools_told_with_the_question_leave_the_same_beginning_to_every_case() -> None:
    options = {"output": "json_schema", "tools_in": "user", "tool_format": "required", "instructions": "Be brief."}
    beginnings = []
    for name in ("look_up", "search"):
        backend = SayBackend(f'{{"name": "{name}", "arguments": {{"a": 1}}}}')
        trace = await work(backend, declared(name), **options, demonstrations=[{"input": "q", "output": "a"}])
        *beginning, question = backend.requests[0].messages
        assert question["content"] == f"{name}(a): Does {name}.\n  a (integer): \n\nWhat is 2 + 3?"
        assert [call.name for call in trace.tool_calls] == [name]
        beginnings.append(beginning)
    assert beginnings[0] == beginnings[1]
    assert [message["role"] for message in beginnings[0]] == ["system", "user", "assistant"]


async def test_native_tools_are_never_told_in_the_question() -> None:
    backend = SayBackend("done")
    await work(backend, adder(), output="native_tools", tools_in="user")
    assert backend.requests[0].messages == a_case().messages


async def test_several_calls_in_one_free_text_are_all_found() -> None:
    text = "\n".join(json.dumps({"name": "look_up", "arguments": {"a": number}}) for number in range(3))
    trace = await work(SayBackend(text), declared("look_up"), output="free")
    assert [call.arguments["a"] for call in trace.tool_calls] == [0, 1, 2]
