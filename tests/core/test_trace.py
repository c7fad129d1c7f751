"""Where a text parts into thoughts and answer, and who goes by the answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.agents.tool_loop import ToolLoopAgent, ToolLoopConfig
from agentbench.agents.workflows import SelfConsistencyAgent, SelfConsistencyConfig
from agentbench.core.protocols import Scorer
from agentbench.core.trace import Trace, answer_in
from agentbench.run.recorder import Recorder
from agentbench.scorers.facts import FactsConfig, FactsScorer
from agentbench.scorers.json_answer import JsonEqualConfig, JsonEqualScorer, JsonSchemaConfig, JsonSchemaScorer
from agentbench.scorers.semantic import SemanticConfig, SemanticScorer
from agentbench.scorers.text import (
    ExactConfig,
    ExactScorer,
    IncludesConfig,
    IncludesScorer,
    NumericConfig,
    NumericScorer,
    RegexConfig,
    RegexScorer,
)
from agentbench.suite.config import Component
from agentbench.users.users import ModelUser, ModelUserConfig
from tests.fakes import SayBackend, a_case, adder

FACT = {"facts": [{"fact": "it", "accept": ["41"]}]}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Is it 41?</think>\n\n42", "42"),
        ("<think></think>42", "42"),
        ("\n <think>\nIs it 41?\n</think>\n42\n", "42\n"),
        ("<THINK>41</Think>42", "42"),
        ("<thinking>41</thinking>42", "42"),
        ("[THINK]41[/THINK]42", "42"),
        ("<think>41</think> <think>43</think> 42", "42"),
        ("Is it 41?\n</think>\n\n42", "42"),
        ("<think>Is it 41? Or", ""),
        ("<think>a</think>", ""),
        ("42", "42"),
        (" 42 ", " 42 "),
        ("", ""),
        ("42 <think>41</think>", "42 <think>41</think>"),
        ("Write <think> and </think>.", "Write <think> and </think>."),
        ("<think>41</think>Write </think>.", "Write </think>."),
        ("<thinker>41</thinker>", "<thinker>41</thinker>"),
    ],
)
def test_the_answer_is_what_comes_behind_the_thoughts(text: str, answer: str) -> None:
    assert answer_in(text) == answer


@given(st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "[/THINK]", " ", "x"]), max_size=12).map("".join))
def test_an_answer_is_the_end_of_its_text(text: str) -> None:
    assert text.endswith(answer_in(text))


@pytest.mark.parametrize(
    ("scorer", "right", "wrong"),
    [
        (ExactScorer(ExactConfig()), "42", "41"),
        (IncludesScorer(IncludesConfig()), "42", "41"),
        (RegexScorer(RegexConfig(full=True)), r"\d+", "41"),
        (NumericScorer(NumericConfig()), 42, 41),
        (JsonEqualScorer(JsonEqualConfig()), 42, 41),
        (JsonSchemaScorer(JsonSchemaConfig()), {"const": 42}, {"const": 41}),
        (SemanticScorer(SemanticConfig()), "42", "Is it 41?"),
        (FactsScorer(FactsConfig()), {"facts": [{"fact": "it", "accept": ["42"]}]}, FACT),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_no_scorer_grades_thoughts(scorer: Scorer, right: Any, wrong: Any) -> None:
    trace = Trace(output="<think>Is it 41?</think>\n\n42")
    assert (await scorer.score(a_case(expected=right), trace)).passed
    assert not (await scorer.score(a_case(expected=wrong), trace)).passed
    assert trace.output == "<think>Is it 41?</think>\n\n42", "the trace keeps all of it"


async def test_a_call_that_was_only_thought_of_is_not_made() -> None:
    reply = '<think>{"name": "add", "arguments": {"a": 1}} or not?</think>It is 5.'
    recorder = Recorder(SayBackend(reply), adder(), seed=1)
    answer = await ToolLoopAgent(ToolLoopConfig(output="free"))(a_case(), recorder, recorder)
    assert answer.text == reply
    assert recorder.trace(answer.text).tool_calls == ()


async def test_votes_agree_when_their_answers_do() -> None:
    replies = ("<think>a</think>42", "41", "<think>b</think>42")
    agent = SelfConsistencyAgent(SelfConsistencyConfig(inner=Component(name="chat"), votes=3))
    recorder = Recorder(SayBackend(*replies), adder(), seed=1)
    assert answer_in((await agent(a_case(), recorder, recorder)).text) == "42"


async def test_a_user_hears_no_thoughts_and_says_none() -> None:
    backend = SayBackend("<think>I ask for more.</think>More, please.")
    user = ModelUser(ModelUserConfig(goal="more"))
    user.use(backend)
    conversation = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>Who is it?</think>Yes?"},
    ]
    said = await user.session(a_case(), 1).say(conversation)
    assert said == ({"role": "user", "content": "More, please."},)
    assert [message["content"] for message in backend.requests[0].messages[1:]] == ["Hello", "Yes?"]
