"""Measures the harness's own cost: cases with an immediate answer, whose attempts are stored.

python results/benchmarks/2026-11-23-harness-cost/measure.py > figures.json
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

SUITE = """\
name: cost
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, default: "yes"}
run: {concurrency: 64}
"""
PROGRAM = """\
import json, resource, sys
import agentbench.cli.run as command
shown = command._print
def measured(*arguments):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown(*arguments)
    print(json.dumps({"run_kb": peak, "all_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), file=sys.stderr)
command._print = measured
from agentbench.cli import main
main()
"""


def measure(cases: int, folder: Path) -> dict[str, Any]:
    (folder / "suite.yaml").write_text(SUITE)
    with (folder / "cases.jsonl").open("w") as out:
        for number in range(cases):
            line = {"id": f"case-{number:06}", "input": f"Is {number} a number? Say yes or no.", "expected": "yes"}
            out.write(json.dumps(line) + "\n")
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", ".", "--db", f"{cases}-{began}.db", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    process_s = time.perf_counter() - began
    found, memory = json.loads(done.stdout), json.loads(done.stderr.splitlines()[-1])
    assert found["attempts_right"] == cases
    stamps = [datetime.fromisoformat(found[name]) for name in ("created_at", "finished_at")]
    run_s = (stamps[1] - stamps[0]).total_seconds()
    return {
        "cases": cases,
        "run_s": run_s,
        "process_s": round(process_s, 2),
        "cases_per_s_run": round(cases / run_s),
        "cases_per_s_process": round(cases / process_s),
        "peak_mb_run": round(memory["run_kb"] / 1024),
        "peak_mb_with_table": round(memory["all_kb"] / 1024),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as root:
        rounds = [measure(cases, Path(root)) for _ in range(3) for cases in (5000, 50_000)]
    print(json.dumps(rounds, indent=1))
