"""Contracts of the seams, as test classes of pytest: subclass one in your tests, with the fixtures that it names.

    from agentbench.testing import ScorerContract

    class TestMine(ScorerContract):
        @pytest.fixture
        def scorer(self) -> Scorer:
            return MyScorer(MyConfig())

        @pytest.fixture
        def case(self) -> Case:
            return Case(id="one", messages=({"role": "user", "content": "Hi"},), expected="hello")

`BackendContract` has coroutines as tests: pytest-asyncio with `asyncio_mode = auto` runs them. agentbench's own
implementations run the same classes.
"""

import asyncio
import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError
from agentbench.core.protocols import Backend, ChatRequest, Scorer, Server
from agentbench.core.trace import Trace
from agentbench.http.event_stream import DONE, events

__all__ = ["BackendContract", "ScorerContract", "ServerContract"]

QUESTION = ({"role": "user", "content": "say hello world"},)

HOSTILE = {
    "nothing": "",
    "white space": " \n\t",
    "control characters": "\x00\x1b[31m\u202e\x7f",
    "an unpaired surrogate": "\ud800",
    "a million characters": "x" * 1_000_000,
    "nesting": "[" * 10_000,
    "half of an object": '{"a": [1, {"b": "',
    "numbers that are none": '{"a": NaN, "b": 1e999, "c": -0}',
    "a number of a thousand digits": "9" * 1000,
    "a null": "null",
    "thoughts": "<think>no</think>yes",
}
"""What a model may write, by what it is."""


class ScorerContract:
    """A subclass has the fixtures `scorer` and `case`, a case that the scorer can grade."""

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_it_grades_whatever_a_model_writes(self, scorer: Scorer, case: Case, text: str) -> None:
        score = _score(scorer, case, text)
        assert math.isfinite(score.value)
        assert 0 <= score.value <= 1
        assert score.name == scorer.name
        assert isinstance(score.reason, str)

    def test_the_same_attempt_has_the_same_score(self, scorer: Scorer, case: Case) -> None:
        assert _score(scorer, case, "hello") == _score(scorer, case, "hello")

    def test_attempts_can_be_graded_at_once(self, scorer: Scorer, case: Case) -> None:
        texts = ("hello", "", "something else", "{}")

        async def at_once() -> list[Score]:
            return await asyncio.gather(*(scorer.score(case, Trace(output=text)) for text in texts * 4))

        assert asyncio.run(at_once()) == [_score(scorer, case, text) for text in texts] * 4

    def test_case_and_trace_stay_as_they_are(self, scorer: Scorer, case: Case) -> None:
        trace, before = Trace(output='{"a": 1}'), deepcopy(case)
        asyncio.run(scorer.score(case, trace))
        assert (case, trace) == (before, Trace(output='{"a": 1}'))


def _score(scorer: Scorer, case: Case, text: str) -> Score:
    return asyncio.run(scorer.score(case, Trace(output=text)))


class ServerContract:
    """A subclass has the fixture `make_server`, which makes a server that has not been started, with one and the same
    configuration."""

    def test_it_answers_once_it_is_started_and_can_start_again(
        self, make_server: Callable[[], Server], tmp_path: Path
    ) -> None:
        async def twice() -> None:
            for number in range(2):
                server = make_server()
                endpoint = await server.start(tmp_path / f"{number}.log")
                try:
                    assert endpoint.model
                    assert await asyncio.to_thread(_answers, endpoint.base_url)
                finally:
                    await server.stop()
                    await server.stop()

        asyncio.run(twice())

    def test_it_can_be_stopped_before_it_started(self, make_server: Callable[[], Server]) -> None:
        asyncio.run(make_server().stop())

    def test_its_lossless_knobs_are_options(self, make_server: Callable[[], Server]) -> None:
        server = make_server()
        assert server.lossless_knobs <= set(type(server).Config.model_fields)  # type: ignore[attr-defined]


def _answers(base_url: str) -> bool:
    """Whether there is HTTP: a refusal is an answer too."""
    try:
        with urllib.request.urlopen(f"{base_url}/models", timeout=30):
            return True
    except urllib.error.HTTPError as refused:
        refused.close()
        return True
    except OSError:
        return False


class BackendContract:
    """A subclass has the fixtures `backend` (answers "hello world") and `dead_backend` (can't answer)."""

    async def test_the_answer_comes_with_its_record(self, backend: Backend) -> None:
        call = await backend.chat(ChatRequest(messages=QUESTION, seed=5))
        assert call.text == "hello world"
        assert call.finish_reason == "stop"
        assert call.messages == QUESTION
        assert call.request["seed"] == 5
        assert "messages" not in call.request

    async def test_times_are_in_order_and_chunks_count_the_tokens(self, backend: Backend) -> None:
        call = await backend.chat(ChatRequest(messages=QUESTION))
        assert call.intended_at <= call.sent_at <= call.chunk_at[0]
        assert list(call.chunk_at) == sorted(call.chunk_at)
        assert call.chunk_at[-1] <= call.ended_at
        assert call.completion_tokens == sum(call.chunk_tokens) == 2
        assert call.prompt_tokens == 3

    async def test_many_at_once(self, backend: Backend) -> None:
        calls = await asyncio.gather(*(backend.chat(ChatRequest(messages=QUESTION)) for _ in range(32)))
        assert [call.text for call in calls] == ["hello world"] * 32

    async def test_the_answer_is_relayed_as_an_event_stream(self, backend: Backend) -> None:
        pieces: list[bytes] = []
        call = await backend.chat(ChatRequest(messages=QUESTION), pieces.append)
        found = [data for _, data in events([(0, piece) for piece in pieces])]
        assert found.pop() == DONE
        choices = [choice for data in found for choice in json.loads(data)["choices"]]
        assert "".join(choice["delta"].get("content") or "" for choice in choices) == call.text == "hello world"
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]

    async def test_no_answer_is_an_infra_failure_and_relays_nothing(self, dead_backend: Backend) -> None:
        pieces: list[bytes] = []
        with pytest.raises(AttemptError) as caught:
            await dead_backend.chat(ChatRequest(messages=QUESTION), pieces.append)
        assert caught.value.kind == "infra"
        assert pieces == []
