"""A suite.yaml under pytest: items, outcomes, options, the summary, xdist."""

import json
from pathlib import Path

import pytest

from agentbench.store import open_store

pytest_plugins = ["pytester"]

SUITE = """\
name: capitals
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend:
  name: scripted
  replies:
    - {when: France, content: Paris}
    - {when: Peru, content: Cusco}
    - {when: Atlantis, fail: nobody there}
run: {max_tries: 1}
"""
CASES = [
    {"id": "france", "input": "Capital of France?", "expected": "Paris"},
    {"id": "peru", "input": "Capital of Peru?", "expected": "Lima"},
    {"id": "atlantis", "input": "Capital of Atlantis?", "expected": "Poseidonis"},
]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = pytester.mkdir("capitals")
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "cases.jsonl").write_text("\n".join(json.dumps(case) for case in CASES))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    return folder


def test_each_case_is_an_item_and_the_summary_has_the_table(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest("capitals", "-v")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*capitals*france* PASSED*",
            "*capitals*peru* FAILED*",
            "case peru: 1 of 1 attempts did not pass",
            "repeat 0: exact: expected 'Lima', got 'Cusco'",
            "*answered 'Cusco'",
            "transcript: agentbench show capitals-* --case peru",
            "*infra failure: nobody there*",
            "*agentbench: capitals*",
            "*Right / wrong / failed*1 / 1 / 1*",
        ]
    )


def test_a_gate_suite_shows_a_wrong_answer_as_missed(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "suite.yaml").write_text(SUITE + "mode: gate\n")
    result = pytester.runpytest("capitals", "-k", "not atlantis")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 2, "missed": 1, "deselected": 1}


def test_an_attempt_without_an_answer_is_for_the_gate_to_judge(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "suite.yaml").write_text(SUITE + "mode: gate\n")
    result = pytester.runpytest("capitals")
    assert result.parseoutcomes() == {"passed": 1, "missed": 1, "broken": 1, "failed": 1}
    result.stdout.fnmatch_lines(["FAIL 1 of 3 attempts failed through no fault of the agent (33.3 %; at most 5 % may)"])


def test_a_deselected_case_is_not_run(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest("capitals", "-k", "france")
    result.stdout.fnmatch_lines(["*Right / wrong / failed*1 / 0 / 0*1 of 1 attempts*"])


def test_options_set_the_backend_the_limit_and_any_key(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest(
        "capitals",
        "--agentbench-backend=scripted",
        "--agentbench-limit=2",
        "--agentbench-sample-seed=3",
        "--agentbench-set=backend.default=Lima",
        "--agentbench-set=backend.replies=[]",
        "--agentbench-set=run.repeats=2",
    )
    result.stdout.fnmatch_lines(["collected 2 items", "*4 of 4 attempts*"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scorers: [exact]", "scorers: [exat]", "*suite.yaml:3: unknown scorer 'exat'. Did you mean 'exact'*"),
        ("agent: chat", "agnt: chat", "*suite.yaml:4: unknown key 'agnt'. Did you mean 'agent'*"),
    ],
)
def test_a_bad_suite_is_one_clear_line_and_exit_2(
    pytester: pytest.Pytester, suite: Path, old: str, new: str, message: str
) -> None:
    (suite / "suite.yaml").write_text(SUITE.replace(old, new))
    result = pytester.runpytest("capitals")
    assert result.ret == 2
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_every_attempt_is_in_the_store(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.runpytest("capitals")
    with open_store(str(pytester.path / "store.db")) as store:
        run = store.get_run("latest")
        outcomes = {attempt.case_id: attempt.passed for attempt in store.attempts(run.id)}
    assert (run.status, run.label) == ("finished", "pytest")
    assert outcomes == {"france": True, "peru": False, "atlantis": None}


def test_stopping_at_the_first_failure_leaves_an_interrupted_run(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "suite.yaml").write_text(SUITE.replace("fail: nobody there", "content: Poseidonis"))
    slow = ["--agentbench-set=backend.first_token_s=0.3", "--agentbench-set=run.concurrency=1"]
    pytester.runpytest("capitals", "-x", *slow).assert_outcomes(passed=1, failed=1)
    with open_store(str(pytester.path / "store.db")) as store:
        assert store.get_run("latest").status == "interrupted"


def test_xdist_workers_share_one_run(pytester: pytest.Pytester, suite: Path) -> None:
    result = pytester.runpytest_subprocess("capitals", "-n", "2")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*Right / wrong / failed*1 / 1 / 1*1 infra*"])
    with open_store(str(pytester.path / "store.db")) as store:
        assert len(store.list_runs()) == 1


def test_a_session_without_suites_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*agentbench: *")
    assert not (pytester.path / "results").exists()


def test_a_case_that_waits_for_a_person_is_skipped(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "suite.yaml").write_text(SUITE.replace("scorers: [exact]", "scorers: [human]"))
    result = pytester.runpytest("capitals", "-rs")
    result.assert_outcomes(skipped=2, failed=1)
    result.stdout.fnmatch_lines(["*Waiting for review*2*", "*SKIPPED*waits for review: agentbench review capitals-*"])


def test_an_agent_that_cannot_be_imported_is_one_line_and_leaves_no_run(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "broken_agent.py").write_text("import os\n\n1 / 0\n")
    (suite / "suite.yaml").write_text(
        SUITE.replace("agent: chat", "agent: {name: callable, target: broken_agent.py:answer}")
    )
    result = pytester.runpytest("capitals")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*ZeroDivisionError: division by zero (capitals/broken_agent.py, line 3)"])
    result.stdout.no_fnmatch_line("*Traceback*")
    with open_store(str(pytester.path / "store.db")) as store:
        assert list(store.list_runs()) == []


LEAVING = """
import asyncio, sys

async def leave(code):
    sys.exit(code)

async def answer(case):
    if case.id == "peru":
        sys.exit(3)
    if case.id == "atlantis":
        await asyncio.create_task(leave(4))
    return "Paris"
"""


def test_an_agent_that_leaves_the_process_fails_its_own_item_alone(pytester: pytest.Pytester, suite: Path) -> None:
    (suite / "leaving_agent.py").write_text(LEAVING)
    (suite / "suite.yaml").write_text(
        SUITE.replace("agent: chat", "agent: {name: callable, target: leaving_agent.py:answer}")
    )
    result = pytester.runpytest("capitals")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*agent failure: SystemExit: 3", "*agent failure: SystemExit: 4"])
