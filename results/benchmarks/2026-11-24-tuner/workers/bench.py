"""Tests a tuner whose worker is killed, and measures several workers, with the real command line and store.

    python results/benchmarks/2026-11-24-tuner/workers/bench.py kills
    python results/benchmarks/2026-11-24-tuner/workers/bench.py workers --db postgresql://… [--rounds 3]

Cases are answered by the table's server. `kills` runs a study without interruption and the same study with up to ten
SIGKILLs, and prints the case-runs and the winner of both. `workers` runs a study with one worker, two workers, and two
workers under Ray, in turn, and prints the search times.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentbench.store import open_store
from tuners.engine.table_evaluator import read_table

HERE = Path(__file__).parent
STUDY = """
name: {name}
split: {{test: 20, train: 180, seed: 1}}
baseline: {{serving.output: free}}
objectives: [quality]
budget: {budget}
rungs: {{sizes: [8, 16, 32, 64, 128], opening: 5, together: 4}}
resources: {{cpus: 1}}
seed: {seed}
space:
  serving.output: [free, json_schema]
  serving.tool_format: [signature, required]
  serving.tools_in: {{choices: [system, user], when: {{serving.output: json_schema}}}}
  serving.instructions: {{choices: [0, 1], when: {{serving.output: json_schema}}}}
  serving.demonstrations: [0, 1]
  serving.quantization: [none, int4]
"""
SUITE = """
name: table
dataset: {{name: jsonl, path: cases.jsonl}}
scorers: [exact]
agent: chat
serving: {{server: table, speed: {speed}}}
run: {{concurrency: 32}}
"""


def write_suite(root: Path, speed: float) -> None:
    lines = [{"id": case, "input": case, "expected": "yes"} for case in read_table(HERE.parent / "table.json.gz").cases]
    (root / "suite.yaml").write_text(SUITE.format(speed=speed))
    (root / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def study(root: Path, name: str, budget: str, seed: int = 0) -> Path:
    path = root / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, budget=budget, seed=seed))
    return path


def started(root: Path, db: str, *arguments: str) -> "subprocess.Popen[bytes]":
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "agentbench", "tune", *arguments, "--json"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "AGENTBENCH_DB": db},
        stdout=subprocess.DEVNULL,
        stderr=(root / "err.txt").open("ab"),
    )


def spent(db: str, name: str) -> dict[str, Any]:
    """A study's case-runs and winner from its store. Stored attempts are counted, each with its own key."""
    with open_store(db, create=False) as store:
        record = store.studies.get(name)
        runs = store.studies.runs(name, "search")
        keys = [(run.run_id, *key) for run in runs for key in store.stored_keys(run.run_id)]
        answers = [(run.answers, *key) for run in runs for key in store.stored_keys(run.run_id)]
        return {
            "status": record.status,
            "search_s": round(record.seconds, 2),
            "candidates": len(store.studies.candidates(name)),
            "case_runs": len(keys),
            "counted_twice": len(keys) - len(set(answers)),
            "winner": record.verdict and record.verdict["settings"],
            "test": record.verdict and record.verdict["passes"].get("rate_a"),
        }


def kills(root: Path, times: int, seed: int) -> dict[str, Any]:
    """The same study without interruption and with kills, each in its own database."""
    path = study(root, "killed", "{trials: 30}", seed)
    whole, killed = str(root / f"whole-{seed}.db"), str(root / f"killed-{seed}.db")
    began = time.monotonic()
    assert started(root, whole, str(path)).wait() == 0
    took = time.monotonic() - began
    worker, dead = started(root, killed, str(path)), 0
    while dead < times:
        time.sleep(2.0 + took / (2 * times))
        if worker.poll() is not None:
            break
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        dead += 1
        worker = started(root, killed, "--resume", "killed")
    worker.wait()
    found = {"seed": seed, "kills": dead, "whole": spent(whole, "killed"), "killed": spent(killed, "killed")}
    found["same"] = all(found["whole"][key] == found["killed"][key] for key in ("case_runs", "winner", "candidates"))
    return found


def workers(root: Path, db: str, rounds: int, case_runs: int) -> dict[str, Any]:
    """Search times of one worker, of two workers, and of two workers placed by Ray, in turn."""
    kinds = {"one": ["--workers", "1"], "two": ["--workers", "2"], "ray": ["--workers", "ray:2"]}
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for kind, arguments in kinds.items():
            name = f"{kind}-{os.getpid()}-{number}"
            path = study(root, name, f"{{case_runs: {case_runs}}}", number)
            began = time.monotonic()
            assert started(root, db, str(path), *arguments).wait() == 0
            found[kind].append({**spent(db, name), "wall_s": round(time.monotonic() - began, 2)})
            print(kind, found[kind][-1], flush=True)
    ratios = {
        kind: [round(b["search_s"] / a["search_s"], 3) for a, b in zip(found["one"], found[kind], strict=True)]
        for kind in ("two", "ray")
    }
    medians = {kind: statistics.median(each) for kind, each in ratios.items()}
    return {"rounds": found, "ratios": ratios, "median_ratio": medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "workers"])
    parser.add_argument("--db", help="For workers: a PostgreSQL URL; a SQLite file in a new directory without.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case-runs", type=int, default=2000)
    parser.add_argument("--speed", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write_suite(root, options.speed)
        if options.what == "kills":
            found: Any = [kills(root, 10, seed) for seed in range(options.rounds)]
        else:
            found = workers(root, options.db or str(root / "workers.db"), options.rounds, options.case_runs)
    (HERE / f"{options.what}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
