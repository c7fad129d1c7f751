"""The gate as it is shown: what failed first, and which cases."""

import json

from rich.console import Console

from agentbench.gate import GateOptions
from agentbench.report.gate_view import gate_json, gate_report
from agentbench.stats import GateVerdict, judge_gate, summarize_serving
from tests.stats.attempts import verdicts


def judged(run: str, baseline: str) -> GateVerdict:
    options = GateOptions(baseline="main", min_pass_rate=0.5)
    return judge_gate(options, verdicts(run), summarize_serving([]), verdicts(baseline))


def shown(verdict: GateVerdict) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(gate_report(verdict))
    return [text.strip() for text in captured.get().splitlines()]


def test_a_failed_gate_shows_what_failed_first_and_the_cases_that_got_worse() -> None:
    lines = shown(judged("1" * 20 + "0" * 20, "1" * 30 + "0" * 10))
    assert lines[0] == "Gate failed"
    assert lines[1].startswith("FAILED baseline  shown worse than baseline main: −25.0 points")
    assert [text.split()[1] for text in lines[2:4]] == ["graded", "pass_rate"]
    assert lines[-1].startswith("Worse than the baseline (10)  c020, c021")


def test_a_passed_gate_names_no_cases() -> None:
    lines = shown(judged("1110" * 10, "1101" * 10))
    assert lines[0] == "Gate passed"
    assert all(text.startswith("ok") for text in lines[1:])


def test_the_json_can_be_written_and_read() -> None:
    found = json.loads(json.dumps(gate_json(judged("1" * 40, "1" * 40))))
    assert found["passed"] is True
    assert [check["name"] for check in found["checks"]] == ["graded", "pass_rate", "baseline"]
    assert found["comparison"]["difference"] == 0.0
