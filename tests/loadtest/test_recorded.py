"""A suite's first requests, and a stored run sent again."""

from itertools import islice
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.loadtest.recorded import stored_run, suite_prompts
from agentbench.store import open_store
from tests.report.runs import fill

ROOT = Path(__file__).parents[2]


async def test_each_case_gives_the_request_that_its_agent_sends() -> None:
    workload = await suite_prompts(str(ROOT / "suites" / "arithmetic"))
    assert workload.size == 30
    assert "30 cases of suite arithmetic" in workload.note
    first = workload.recorded[0].turns[0]
    assert first.path == "chat/completions"
    assert first.body["messages"] == [{"role": "user", "content": "What is 384 times 27?"}]
    assert (first.body["max_tokens"], first.body["temperature"]) == (128, 0)
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["calculator", "convert_units"]
    assert not {"model", "stream", "stream_options"} & set(first.body)


async def test_a_suite_begins_again_at_its_end() -> None:
    workload = await suite_prompts(str(ROOT / "suites" / "arithmetic"))
    names = [session.name for session in islice(workload.sessions("1"), 32)]
    assert len(set(names)) == 30
    assert names[30:] == names[:2]


async def test_a_suite_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (await suite_prompts("arithmetic")).size == 30
    with pytest.raises(UserError, match="unknown suite"):
        await suite_prompts("arithmetik")


async def test_a_suite_that_asks_no_server_has_nothing_to_send(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        "name: x\ndataset: {name: jsonl, path: c.jsonl}\nscorers: [exact]\nagent: chat\nbackend: scripted\n"
    )
    (tmp_path / "c.jsonl").write_text('{"id": "a", "input": "hello", "expected": "x"}\n')
    with pytest.raises(UserError, match="made no model call over HTTP"):
        await suite_prompts(str(tmp_path))


async def test_what_an_agent_raised_before_it_asked_is_told(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        "name: x\ndataset: {name: jsonl, path: c.jsonl}\nscorers: [exact]\nbackend: scripted\n"
        "agent: {name: callable, target: agent.py:answer}\n"
    )
    (tmp_path / "c.jsonl").write_text('{"id": "a", "input": "hello", "expected": "x"}\n')
    (tmp_path / "agent.py").write_text("def answer(case, tools):\n    raise KeyError('no such prompt')\n")
    with pytest.raises(UserError, match=r"so there is nothing to send \(case a: .*no such prompt"):
        await suite_prompts(str(tmp_path))


def test_a_stored_run_keeps_its_turns_and_gaps(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with open_store(path) as store:
        fill(store, cases=4)
        run = store.get_run("free")
        attempts = [attempt for attempt in store.attempts(run.id) if attempt.trace.model_calls]
    workload = stored_run("free", path)
    assert workload.size == len(attempts)
    assert min(session.offset_s for session in workload.recorded) == 0
    assert [s.offset_s for s in workload.recorded] == sorted(s.offset_s for s in workload.recorded)
    by_name = {f"{attempt.case_id} {attempt.repeat}": attempt.trace.model_calls for attempt in attempts}
    for session in workload.recorded:
        calls = by_name[session.name]
        assert [list(call.messages) for call in calls] == [turn.body["messages"] for turn in session.turns]
        assert session.turns[0].gap_ns == 0
        for before, call, turn in zip(calls, calls[1:], session.turns[1:], strict=False):
            assert turn.gap_ns == max(0, call.intended_at - before.ended_at)


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "a.db")):
        pass
    with pytest.raises(UserError, match="nothing"):
        stored_run("nothing", str(tmp_path / "a.db"))
