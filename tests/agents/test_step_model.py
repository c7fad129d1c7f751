"""A model of its own for a step: it is asked that step only, and what it did is part of the attempt's one record."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agentbench.core.attempt import Attempt
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import ChatRequest, Endpoint, Relay, Reply
from agentbench.core.trace import STEP, ModelCall, Trace
from agentbench.loadtest.recorded import session_of
from agentbench.run.recorder import Recorder
from agentbench.suite import registry
from agentbench.suite.config import Component, Limits
from tests.fakes import SayBackend, a_case, adder


class OtherConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str


class OtherBackend(SayBackend):
    """Another model; `opened` are those that are open now."""

    Config = OtherConfig
    opened: list["OtherBackend"]

    def __init__(self, config: OtherConfig, endpoint: Endpoint | None) -> None:
        super().__init__(config.says)
        OtherBackend.opened.append(self)

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        if not self._replies[0]["content"]:
            raise AttemptError("infra", "the other server is away")
        return replace(await super().chat(request, relay), prompt_tokens=40, completion_tokens=10)

    async def aclose(self) -> None:
        OtherBackend.opened.remove(self)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = registry._registered
    entry = EntryPoint("other", f"{__name__}:OtherBackend", "agentbench.backends")
    monkeypatch.setattr(registry, "_registered", lambda kind: {**known(kind), "other": entry})
    OtherBackend.opened = []
    yield
    assert not OtherBackend.opened, "left open"


def model(says: str) -> dict[str, Any]:
    return {"backend": {"name": "other", "says": says}}


async def work(recorder: Recorder, name: str, **options: Any) -> Trace:
    async with registry.build("agents", Component(name=name, **options)) as agent:
        answer = await agent(a_case(), recorder, recorder)
    return recorder.trace(answer.text if isinstance(answer, Reply) else answer)


async def test_the_plan_is_made_by_its_own_model_and_recorded_under_the_attempt() -> None:
    own = SayBackend("It is 5.")
    trace = await work(Recorder(own, adder(), seed=7), "plan_then_act", plan_model=model("1. think"))
    assert len(own.requests) == 1
    assert "Follow this plan:\n1. think" in [message["content"] for message in own.requests[0].messages]
    assert [call.request.get(STEP) for call in trace.model_calls] == ["plan", None]
    assert [call.request["seed"] for call in trace.model_calls] == [7, 7]
    assert trace.output == "It is 5."


async def test_the_limits_of_an_attempt_hold_for_both_models_together() -> None:
    recorder = Recorder(SayBackend("It is 5."), adder(), seed=7, limits=Limits(model_calls=1))
    with pytest.raises(AttemptError, match=r"run\.limits\.model_calls=1"):
        await work(recorder, "plan_then_act", plan_model=model("1. think"))
    assert recorder.broken is not None
    counting = Recorder(SayBackend("It is 5."), adder(), seed=7, limits=Limits(tokens=49))
    with pytest.raises(AttemptError, match=r"run\.limits\.tokens=49"):
        await work(counting, "plan_then_act", plan_model=model("1. think"))


async def test_a_step_s_model_that_is_away_is_a_failure_of_the_attempt() -> None:
    recorder = Recorder(SayBackend("It is 5."), adder(), seed=7)
    with pytest.raises(AttemptError, match="the other server is away"):
        await work(recorder, "plan_then_act", plan_model=model(""))
    [call] = recorder.trace().model_calls
    assert (call.error, call.request[STEP]) == ("the other server is away", "plan")
    assert recorder.broken is not None
    assert recorder.broken.kind == "infra"


async def test_only_the_answers_after_the_first_are_of_the_retry_s_model() -> None:
    own = SayBackend("no JSON")
    options: dict[str, Any] = {"inner": {"name": "chat"}, "check": "json", "retry_model": model('{"a": 1}')}
    trace = await work(Recorder(own, adder(), seed=7), "retry_with_feedback", **options)
    assert trace.output == '{"a": 1}'
    assert [call.request.get(STEP) for call in trace.model_calls] == [None, "retry"]


async def test_votes_over_a_plan_of_another_model_differ_in_seed_in_both() -> None:
    inner = {"name": "plan_then_act", "plan_model": model("1. think"), "inner": {"name": "chat"}}
    trace = await work(Recorder(SayBackend("5"), adder(), seed=7), "self_consistency", inner=inner, votes=2)
    planned = [call.request["seed"] for call in trace.model_calls if STEP in call.request]
    assert len(set(planned)) == len(planned) == 2


async def test_a_trace_sent_again_leaves_out_what_another_model_answered() -> None:
    trace = await work(Recorder(SayBackend("5"), adder(), seed=7), "plan_then_act", plan_model=model("1. think"))
    attempt = Attempt(
        case_id="c",
        cluster="c",
        repeat=0,
        seed=7,
        tries=1,
        started_at=0,
        ended_at=1,
        wall_anchor_ns=0,
        trace=trace,
    )
    [turn] = session_of(attempt, 0).turns
    assert "Follow this plan" in str(turn.body["messages"])


@pytest.mark.parametrize(
    ("plan_model", "said"),
    [
        ({}, "name a model: serving, backend or both"),
        ({"serving": {"server": "bundeld"}}, "unknown server 'bundeld'. Did you mean 'bundled'"),
        ({"serving": {"server": "url", "base": "x"}}, "unknown key 'agent.plan_model.serving.base'"),
        ({"backend": "othre"}, "unknown backend 'othre'. Did you mean 'other'"),
    ],
)
def test_a_mistake_in_it_is_told_before_anything_starts(plan_model: dict[str, Any], said: str) -> None:
    from agentbench.suite.check import check_components
    from agentbench.suite.config import RunConfig

    config = RunConfig(agent=Component(name="plan_then_act", plan_model=plan_model))
    with pytest.raises(UserError) as error:
        check_components(config, lambda _: "suite.yaml")
    assert said in str(error.value)
