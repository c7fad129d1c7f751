"""The gate under pytest: what decides, baselines, reruns, the fixture, JUnit XML, the summary, xdist."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agentbench.gate.baseline import baseline_of, write_baseline
from agentbench.store import open_store
from tests.plugin.numbers_suite import SUITE, write

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = pytester.mkdir("numbers")
    write(folder, right=20)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    monkeypatch.setenv("AGENTBENCH_DB", str(pytester.path / "store.db"))
    return folder


@pytest.fixture
def baseline(pytester: pytest.Pytester, suite: Path) -> Path:
    """The baseline `main`: 20 of 24 are right."""
    assert pytester.runpytest("numbers").ret == 0
    file = pytester.path / "results/baselines/numbers/main.json"
    with open_store(str(pytester.path / "store.db")) as store:
        write_baseline(baseline_of("main", store.get_run("latest"), store), file)
    return file


def test_the_least_pass_rate_decides(pytester: pytest.Pytester, suite: Path) -> None:
    write(suite, 20, "gate: {min_pass_rate: 0.8}\n")
    assert pytester.runpytest("numbers").parseoutcomes() == {"passed": 21, "missed": 4}
    write(suite, 19, "gate: {min_pass_rate: 0.8}\n")
    result = pytester.runpytest("numbers")
    assert result.ret == 1
    assert result.parseoutcomes() == {"passed": 19, "missed": 5, "failed": 1}
    result.stdout.fnmatch_lines(["FAIL pass rate 79.2 % (*) over 24 cases is below 80 %"])


def test_a_regression_against_a_baseline_fails_and_shows_what_changed(
    pytester: pytest.Pytester, suite: Path, baseline: Path
) -> None:
    write(suite, 20, "gate: {baseline: main}\n")
    assert pytester.runpytest("numbers").ret == 0
    write(suite, 10, "gate: {baseline: main}\n")
    result = pytester.runpytest("numbers")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAIL worse than baseline main (one-sided p = 0.00098, α = 0.05): −41.7 points*it finds a drop of*",
            "worse than the baseline (10): n10, n11, n12, n13, n14, n15, n16, n17, n18, n19",
            "  agentbench show numbers-* --case n10",
            "  agentbench compare numbers-* numbers-*",
        ]
    )


def test_the_option_names_a_baseline_for_every_gate(pytester: pytest.Pytester, suite: Path, baseline: Path) -> None:
    write(suite, 5)
    assert pytester.runpytest("numbers").ret == 0
    assert pytester.runpytest("numbers", "--agentbench-baseline=main").ret == 1
    result = pytester.runpytest("numbers", "--agentbench-baseline=mian")
    result.stdout.fnmatch_lines(["*no baseline 'mian' of suite 'numbers'; there are: main. Make one*"])
    assert result.ret == 1
    result = pytester.runpytest("numbers", "--agentbench-baseline=latest", "-k", "n00 or gate")
    result.stdout.fnmatch_lines(["baseline 'latest' is run numbers-* itself; name an earlier one*latest~1"])


def test_a_part_of_the_cases_is_judged_as_that(pytester: pytest.Pytester, suite: Path, baseline: Path) -> None:
    write(suite, 10, "gate: {baseline: main, min_pass_rate: 0.9}\n")
    result = pytester.runpytest("numbers", "-k", "n0 or gate", "-rP")
    assert result.parseoutcomes() == {"passed": 11, "deselected": 14}
    result.stdout.fnmatch_lines(
        [
            "ok   pass rate 100.0 % (*) over 10 cases is at least 90 %",
            "note: The baseline has other cases than this run: cases with the same id are compared.",
            "note: Judged on 10 of 24 cases: the others were not selected.",
        ]
    )


@pytest.mark.parametrize("selection", [["-k", "not gate"], ["-k", "n03"], ["--deselect=numbers/suite.yaml::gate"], []])
def test_no_selection_of_cases_leaves_the_gate_out(
    pytester: pytest.Pytester, suite: Path, selection: list[str]
) -> None:
    write(suite, 3, "gate: {min_pass_rate: 0.9}\n")
    result = pytester.runpytest(*(["numbers", *selection] if selection else ["numbers/suite.yaml::n03"]))
    assert result.ret == 1
    found = result.parseoutcomes()
    assert (found["failed"], found.get("passed", 0) + found["missed"] + found.get("deselected", 0)) in ((1, 24), (1, 1))
    result.stdout.fnmatch_lines(["note: The gate was not selected; it judges the selected cases all the same."])
    result.stdout.fnmatch_lines(["FAILED numbers/suite.yaml::gate - FAIL pass rate *"])


def test_last_failed_runs_the_gate_over_all_cases(pytester: pytest.Pytester, suite: Path) -> None:
    write(suite, 3, "gate: {min_pass_rate: 0.9}\n")
    assert pytester.runpytest("numbers").ret == 1
    write(suite, 24, "gate: {min_pass_rate: 0.9}\n")
    result = pytester.runpytest("numbers", "--lf", "-rP")
    assert result.parseoutcomes()["passed"] == 1
    result.stdout.fnmatch_lines(["ok   pass rate 100.0 % (*) over 24 cases is at least 90 %"])


FLAKY = """\
name: flaky
mode: MODE
dataset: {name: jsonl}
scorers: [exact]
agent: {name: callable, target: "flaky_agent:answer"}
backend: scripted
gate: {min_pass_rate: 1}
"""
FLAKY_AGENT = """\
SEEN = []
def answer(case, tools):
    SEEN.append(case.id)
    return "yes" if case.id == "good" or (case.id == "flaky" and SEEN.count("flaky") == 2) else "no"
"""


@pytest.mark.parametrize(
    ("mode", "outcomes"),
    [("strict", {"passed": 1, "rescued": 1, "failed": 1}), ("gate", {"passed": 1, "missed": 2, "failed": 1})],
)
def test_reruns_show_what_is_flaky_and_raise_no_figure(
    pytester: pytest.Pytester, suite: Path, mode: str, outcomes: dict[str, int]
) -> None:
    folder = pytester.mkdir("flaky")
    (folder / "suite.yaml").write_text(FLAKY.replace("MODE", mode))
    rows = [{"id": name, "input": "?", "expected": "yes"} for name in ("good", "flaky", "bad")]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pytester.makepyfile(flaky_agent=FLAKY_AGENT)
    pytester.syspathinsert()
    asked = ["--agentbench-flake-reruns=2", "--junitxml=out.xml", "--agentbench-summary=out.md"]
    result = pytester.runpytest("flaky", *asked)
    assert result.parseoutcomes() == outcomes
    with open_store(str(pytester.path / "store.db")) as store:
        rerun, run = store.list_runs()
        assert (run.passed, run.wrong) == (1, 2)
        assert (rerun.passed, rerun.wrong) == (1, 2)
        assert store.get_run(rerun.id).environment["rerun_of"] == run.id
    assert properties(pytester.path / "out.xml", "flaky")["agentbench_rescued_by_rerun"] == "1"
    summary = (pytester.path / "out.md").read_text()
    assert summary.startswith("## ❌ agentbench flaky: failed")
    assert "**Flaky** (1): `flaky`" in summary
    assert "**Rescued by a rerun** (1): `flaky`" in summary


def properties(file: Path, name: str) -> dict[str, str]:
    cases = ElementTree.parse(file).getroot().iter("testcase")
    case = next(each for each in cases if each.get("name") == name)
    return {str(each.get("name")): str(each.get("value")) for each in case.iter("property")}


def test_junit_xml_has_the_figures_and_stays_xml(pytester: pytest.Pytester, suite: Path) -> None:
    hostile = "\x00<&]]>\x1b[31m\ud800\ufffe"
    rules = [{"when": "^00$", "content": "00"}, {"when": "^01$", "fail": hostile}, {"when": "^02$", "content": hostile}]
    text = SUITE.replace("REPLIES", json.dumps(rules)).replace("gate\n", "strict\n")
    (suite / "suite.yaml").write_text(text.replace("[exact]", '[{name: exact, as: "<\\x07>"}]'))
    with (suite / "cases.jsonl").open("a") as cases:
        cases.write("\n" + json.dumps({"id": "x<&]]>\ufffe", "input": "00", "expected": "00"}))
    pytester.runpytest("numbers", "--junitxml=out.xml", "--agentbench-repeats=2")
    found = properties(pytester.path / "out.xml", "n00")
    assert (found["agentbench_passed"], found["agentbench_pass_rate"]) == ("2 of 2", "1.0")
    assert found["agentbench_score____"] == "1.0"
    assert float(found["agentbench_ttft_s"]) >= 0
    assert properties(pytester.path / "out.xml", "n01")["agentbench_failure"] == "infra"
    [whole] = ElementTree.parse(pytester.path / "out.xml").getroot().findall("testsuite/properties")
    of_all = {each.get("name"): each.get("value") for each in whole}
    assert of_all["agentbench_numbers_right_wrong_failed"] == "4 / 44 / 2 of 50"
    assert of_all["agentbench_numbers_run"] == found["agentbench_run"]


def test_junit_xml_has_the_gate_s_checks(pytester: pytest.Pytester, suite: Path) -> None:
    write(suite, 20, "gate: {min_pass_rate: 0.9}\n")
    pytester.runpytest("numbers", "--junitxml=out.xml")
    found = properties(pytester.path / "out.xml", "gate")
    assert found["agentbench_gate_min_pass_rate"].startswith("failed: pass rate 83.3 % (95 % ")
    assert found["agentbench_gate_failures"].startswith("passed: 0 of 24")


def test_the_summary_is_markdown(pytester: pytest.Pytester, suite: Path, baseline: Path) -> None:
    write(suite, 10, "gate: {baseline: main}\n")
    file = pytester.path / "summary.md"
    file.write_text("# before\n")
    pytester.runpytest("numbers", f"--agentbench-summary={file}")
    text = file.read_text()
    assert text.startswith("# before\n## ❌ agentbench numbers: failed\n")
    assert re.search(r"\\| pass rate \\| 41\\\\.7 % .* \\| 83\\\\.3 % \\| −41\\\\.7 pts \\|", text)
    assert re.search(r"\\| TTFT p50 \\| .* \\| .* \\| .* \\|", text)
    assert "**Worse** (10): `n10`, `n11`" in text
    assert "agentbench show numbers-" in text


TESTS = """\
import pytest

@pytest.mark.agent_suite("numbers", repeats=2)
def test_rate(agent_run):
    assert agent_run.pass_rate == pytest.approx(20 / 24)
    assert len(agent_run.attempts) == 48
    assert [attempt.passed for attempt in agent_run.case("n00")] == [True, True]
    agent_run.assert_pass_rate(at_least=0.8)
    agent_run.assert_not_worse_than("main", margin=0.5)
    agent_run.assert_not_worse_than("main")
    agent_run.assert_slo(ttft_p95="10s", goodput=">=0.01/s")

@pytest.mark.agent_suite("numbers", repeats=2)
def test_shared(agent_run):
    agent_run.assert_pass_rate(at_least=0.9)

@pytest.mark.agent_suite("numbers", limit=3, set={"backend.replies": [], "agent.max_tokens": 5})
def test_other(agent_run):
    assert len(agent_run.attempts) == 3
    agent_run.assert_slo(ttft_p95="0.0001us")

@pytest.mark.agent_suite("numbers", repeat=2)
def test_typo(agent_run): ...

@pytest.mark.agent_suite("nmubers")
def test_no_suite(agent_run): ...

def test_no_marker(agent_run): ...

@pytest.mark.agent_suite("numbers", repeats=2)
def test_no_such_objective(agent_run):
    agent_run.assert_slo(tfft_p95="1s")

@pytest.mark.agent_suite("numbers", repeats=2)
def test_asks_for_nothing(agent_run):
    agent_run.assert_slo()

@pytest.mark.agent_suite("numbers", repeats=2)
def test_no_baseline(agent_run):
    agent_run.assert_not_worse_than(" ")

@pytest.mark.agent_suite("numbers", repeats=2)
def test_percent(agent_run):
    agent_run.assert_pass_rate(at_least=80)

@pytest.mark.agent_suite("numbers", repeats=2)
def test_confidence(agent_run):
    assert sum(outcome.passed for outcome in agent_run.outcomes) == 40
    agent_run.assert_pass_rate(at_least=0.8, confidence=0.95)

@pytest.mark.agent_suite("numbers", set={"agnt.output": "free"})
def test_wrong_set(agent_run): ...
"""


def test_the_fixture(pytester: pytest.Pytester, suite: Path, baseline: Path) -> None:
    pytester.makepyfile(test_agents=TESTS)
    result = pytester.runpytest("test_agents.py")
    assert result.parseoutcomes() == {"passed": 1, "failed": 7, "errors": 4}
    result.stdout.fnmatch_lines_random(
        [
            "*FAIL pass rate 83.3 % (*) over 24 cases is below 90 %",
            "*FAIL ttft_p95 * is over *",
            "*unknown option of agent_suite 'repeat'. Did you mean 'repeats'?*",
            "*unknown suite 'nmubers'*",
            '*agent_run needs a marker: @pytest.mark.agent_suite("suites/NAME", repeats=3)*',
            "*unknown objective 'tfft_p95'. Did you mean 'ttft_p95'*",
            "*assert_slo() has no limit; give one or more of goodput, *",
            "*assert_not_worse_than(' '): name a baseline or a run, for example 'main'",
            "*agent_run: min_pass_rate = 80: *less than or equal to 1",
            "*FAIL the pass rate's lower bound at 95 % confidence is *, below 80 %: agentbench show numbers-*",
            "*agent_suite: set = {'agnt.output': 'free'}: expected paths under agent, serving, backend, run*",
        ]
    )
    with open_store(str(pytester.path / "store.db")) as store:
        assert len(store.list_runs()) == 3, "the baseline's, one shared by two tests, one of its own"


SHARED_TESTS = """\
import pytest

@pytest.mark.agent_suite("numbers", limit=5)
def test_private(agent_run):
    assert len(agent_run.attempts) == 5
    assert agent_run.pass_rate <= 1
"""


def test_workers_share_the_runs_that_gates_and_tests_judge(
    pytester: pytest.Pytester, suite: Path, baseline: Path
) -> None:
    write(suite, 10, "gate: {baseline: main}\n")
    pytester.makepyfile(test_one=SHARED_TESTS, test_two=SHARED_TESTS)
    asked = ["-n2", "--dist=worksteal", "-k", "not n00", "--agentbench-flake-reruns=1", "--junitxml=out.xml"]
    result = pytester.runpytest_subprocess("numbers", "test_one.py", "test_two.py", *asked)
    assert result.parseoutcomes() == {"passed": 11, "missed": 14, "failed": 1}
    result.stdout.fnmatch_lines(["FAIL worse than baseline main (one-sided p = 0.00098*"])
    with open_store(str(pytester.path / "store.db")) as store:
        found = {(run.label.split()[0], run.passed, run.wrong, run.status) for run in store.list_runs()[:-1]}
        small = next(counts for counts in found if sum(counts[1:3]) == 5)
    assert found - {small} == {("pytest", 9, 14, "finished"), ("rerun", 0, 14, "finished")}
    assert small[0::3] == ("pytest", "finished")
    assert properties(pytester.path / "out.xml", "gate")["agentbench_gate_baseline"].startswith("failed: worse than")


CRASHING_AGENT = """\
import os, pathlib, threading
begun = threading.Event()
def answer(case, tools):
    flag = pathlib.Path("crashed")
    if case.id == "n05" and not flag.exists():
        begun.wait(3)
        flag.touch()
        os._exit(1)
    return case.id[1:]
"""
CRASH_IN_ITS_OWN_ITEM = """\
import crashing
def pytest_runtest_logstart(nodeid):
    if nodeid.endswith("n05"):
        crashing.begun.set()
"""
"""The worker waits for an attempt then, of this item or an earlier one, and has said which items are done."""


@pytest.mark.parametrize("dist", ["load", "loadfile"])  # loadscope hands out as loadfile does
def test_a_worker_that_crashes_loses_no_attempt(pytester: pytest.Pytester, suite: Path, dist: str) -> None:
    text = SUITE.replace("agent: chat", 'agent: {name: callable, target: "crashing:answer"}')
    (suite / "suite.yaml").write_text(text.replace("REPLIES", "[]").replace("max_tries", "concurrency: 1, max_tries"))
    pytester.makepyfile(crashing=CRASHING_AGENT)
    pytester.makeconftest(CRASH_IN_ITS_OWN_ITEM)
    pytester.makeini("[pytest]\npythonpath = .\n")
    result = pytester.runpytest_subprocess("numbers", "-n2", f"--dist={dist}")
    assert result.parseoutcomes() == {"passed": 25, "rerun": 1}, "the item that the worker was at is handed out again"
    with open_store(str(pytester.path / "store.db")) as store:
        [run] = store.list_runs()
    assert (run.passed, run.status) == (24, "finished")


DYING_AFTER_THE_RESULT = """\
import os, pathlib
is_worker = []
def pytest_configure(config):
    is_worker.append(hasattr(config, "workerinput"))
def pytest_runtest_logfinish(nodeid):
    flag = pathlib.Path("died")
    if is_worker == [True] and nodeid.endswith("n05") and not flag.exists():
        flag.touch()
        os._exit(1)
"""


@pytest.mark.parametrize(("dist", "workers"), [("load", 2), ("loadfile", 1)])
def test_a_result_that_came_before_its_worker_died_counts_once(
    pytester: pytest.Pytester, suite: Path, dist: str, workers: int
) -> None:
    write(suite, 24, "gate: {min_pass_rate: 0.9}\n")
    pytester.makeconftest(DYING_AFTER_THE_RESULT)
    outcomes = pytester.runpytest_subprocess("numbers", f"-n{workers}", f"--dist={dist}").parseoutcomes()
    assert outcomes.pop("rerun") >= 1
    assert outcomes == {"passed": 25}


LEAVING_AGENT = """\
import os
def answer(case, tools):
    if case.id == "n05":
        os._exit(1)
    return case.id[1:]
"""


@pytest.mark.parametrize(("dist", "workers"), [("load", 2), ("loadfile", 1)])
def test_an_agent_that_ends_its_worker_fails_its_own_case(
    pytester: pytest.Pytester, suite: Path, dist: str, workers: int
) -> None:
    text = SUITE.replace("agent: chat", 'agent: {name: callable, target: "leaving:answer"}')
    (suite / "suite.yaml").write_text(text.replace("REPLIES", "[]") + "gate: {min_pass_rate: 0.99}\n")
    (suite / "leaving.py").write_text(LEAVING_AGENT)
    result = pytester.runpytest_subprocess("numbers", f"-n{workers}", f"--dist={dist}")
    outcomes = result.parseoutcomes()
    assert {name: outcomes[name] for name in outcomes if name != "rerun"} == {"passed": 23, "broken": 1, "failed": 1}
    result.stdout.fnmatch_lines(["FAILED numbers/suite.yaml::gate - FAIL pass rate 95.8 %*"])
    with open_store(str(pytester.path / "store.db")) as store:
        [run] = store.list_runs()
        [broken] = [attempt for attempt in store.attempts(run.id) if attempt.failure]
    assert broken.case_id == "n05"
    assert broken.failure
    assert broken.failure.kind == "agent"
    assert "ended the process that it ran in" in broken.failure.message


@pytest.mark.parametrize("dist", ["load", "loadfile"])
def test_an_item_that_no_worker_is_left_for_fails(pytester: pytest.Pytester, suite: Path, dist: str) -> None:
    text = SUITE.replace("agent: chat", 'agent: {name: callable, target: "leaving:answer"}')
    (suite / "suite.yaml").write_text(text.replace("REPLIES", "[]"))
    (suite / "leaving.py").write_text(LEAVING_AGENT)
    result = pytester.runpytest_subprocess("numbers", "-n1", f"--dist={dist}", "--max-worker-restart=0")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*crashed while running 'numbers/suite.yaml::*', and no other worker continued it"])


USAGE = "def pytest_runtest_setup(item):\n    raise "


@pytest.mark.parametrize(
    ("right", "arguments", "conftest", "code"),
    [
        (24, [], "", pytest.ExitCode.OK),
        (3, [], "", pytest.ExitCode.TESTS_FAILED),
        (24, [], f"{USAGE}KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
        (24, [], "def pytest_collection_modifyitems():\n    raise ValueError", pytest.ExitCode.INTERNAL_ERROR),
        (24, ["--agentbench-repeats=0"], "", pytest.ExitCode.USAGE_ERROR),
        (24, ["--agentbench-set=agnt.output=free"], "", pytest.ExitCode.USAGE_ERROR),
        (24, ["--agentbench-backend=scriptd"], "", pytest.ExitCode.USAGE_ERROR),
        (24, ["-k", "nothing"], "", pytest.ExitCode.NO_TESTS_COLLECTED),
    ],
)
def test_exit_codes(
    pytester: pytest.Pytester, suite: Path, right: int, arguments: list[str], conftest: str, code: pytest.ExitCode
) -> None:
    write(suite, right, "gate: {min_pass_rate: 0.9}\n")
    pytester.makeconftest(conftest)
    assert pytester.runpytest_inprocess("numbers", *arguments, no_reraise_ctrlc=True).ret == code


def test_the_first_gate_that_fails_can_end_the_session(pytester: pytest.Pytester, suite: Path) -> None:
    write(suite, 3, "gate: {min_pass_rate: 0.9}\n")
    pytester.makepyfile("def test_after(): pass")
    result = pytester.runpytest("-x", "numbers", ".")
    assert result.parseoutcomes() == {"passed": 3, "missed": 21, "failed": 1}
    assert pytester.runpytest("numbers", "--collect-only", "-q").stdout.lines[24].endswith("suite.yaml::gate")
    with open_store(str(pytester.path / "store.db")) as store:
        assert [run.status for run in store.list_runs()] == ["finished"], "collecting makes no run"
