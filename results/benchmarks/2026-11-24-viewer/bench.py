"""Measures the viewer's time for each page on a store with 100,000 attempts and a study, and a report of 2,000 cases.

    python results/benchmarks/2026-11-24-viewer/bench.py --work /tmp/viewer --requests 30

Fills a store (a store that is under --work is used again) and starts `agentbench ui` on it. One client on the loopback
interface requests every page in turn. Times are from sending the request to the last byte. The first request for a page
of a run computes the run's figures, and is reported separately. Writes figures.json and prints the table of README.md.
"""

import argparse
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from agentbench.core.attempt import Attempt, Label, Score
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.core.study import CandidateRecord, StudyRecord
from agentbench.core.trace import ModelCall, ToolCall, Trace
from agentbench.run.provenance import cpu_model
from agentbench.store import Store, open_store
from tuners.search.candidate import Candidate
from tuners.search.optuna_storage import opened_trials
from tuners.space.space import Space

HERE = Path(__file__).parent
MS = 1_000_000
BEGUN = datetime(2026, 11, 1, tzinfo=UTC)
RUNS = (("big", 25_000, 2), *((f"nightly-{number:02}", 2_000, 1) for number in range(25)))
"""Label, cases and repeats of each run: 100,000 attempts."""
CANDIDATES = 100


def a_run(number: int, label: str, cases: int, repeats: int) -> Run:
    config = {
        "agent": {"name": "tool_loop", "output": "json_schema", "temperature": 0.0},
        "serving": {"server": "bundled", "model": "smollm2-135m-instruct", "max_num_seqs": 16},
    }
    begun = BEGUN + timedelta(days=number)
    return Run(
        id=f"bench-{begun:%Y%m%d-%H%M%S}-{number:06x}",
        suite="bench",
        suite_version="1",
        suite_path="",
        suite_hash="0" * 64,
        config=config,
        config_hash="a" * 64,
        case_ids=tuple(f"case_{each}" for each in range(cases)),
        repeats=repeats,
        label=label,
        environment={"git_commit": f"{number:040x}", "objectives": {"ttft": 2.0}},
        status="finished",
        created_at=begun,
        finished_at=begun + timedelta(hours=1),
    )


def a_case(number: int) -> Case:
    question = f"What does a delivery of {number} parcels to the harbour cost? " + "The tariff has several zones. " * 20
    return Case(id=f"case_{number}", messages=({"role": "user", "content": question},), expected={"cost": number})


def an_attempt(number: int, repeat: int, chance: random.Random) -> Attempt:
    """An attempt with two model calls of 40 tokens and a tool call between them, about as large as one of BFCL."""
    start = number * 50 * MS
    first = round(chance.lognormvariate(-1, 0.4) * 1e9)
    asked = {"id": "1", "type": "function", "function": {"name": "tariff", "arguments": '{"zone": 3}'}}
    before = ({"role": "system", "content": "Call the tool. " * 30}, *a_case(number).messages)
    reply = {"role": "assistant", "content": None, "tool_calls": [asked]}
    call = ModelCall(
        messages=before,
        request={"model": "smollm2-135m-instruct", "temperature": 0.0},
        reply=reply,
        finish_reason="tool_calls",
        intended_at=start,
        sent_at=start,
        ended_at=start + first + 800 * MS,
        chunk_at=tuple(start + first + 20 * MS * token for token in range(40)),
        prompt_tokens=420,
        cached_tokens=128,
        completion_tokens=40,
    )
    tool = ToolCall(
        call_id="1",
        name="tariff",
        arguments={"zone": 3},
        started_at=call.ended_at,
        ended_at=call.ended_at + MS,
        executed=True,
        result="12.40",
    )
    right = chance.random() < 0.42
    return Attempt(
        case_id=f"case_{number}",
        cluster=f"case_{number}",
        repeat=repeat,
        seed=number,
        tries=1,
        started_at=start,
        ended_at=tool.ended_at,
        wall_anchor_ns=1_790_000_000_000_000_000,
        trace=Trace(steps=(call, tool), output="It costs 12.40."),
        scores=(Score(name="numeric", value=float(right), passed=right, reason="expected 12.40"),),
        passed=right,
    )


def parts(cases: int, repeats: int, seed: int) -> Iterator[tuple[Attempt, Case] | Label]:
    chance = random.Random(seed)
    for number in range(cases):
        for repeat in range(repeats):
            yield an_attempt(number, repeat, chance), a_case(number)
    for number in range(100):
        for reviewer in ("ann", "bob"):
            passed = chance.random() < 0.5
            yield Label(case_id=f"case_{number}", repeat=0, reviewer=reviewer, passed=passed, created_at=BEGUN)


SPACE: dict[str, list[object]] = {
    "agent.output": ["free", "json_schema"],
    "agent.tool_format": ["json", "signature", "required"],
    "agent.instructions": [None, "Copy values from the question.", "Leave out optional parameters."],
    "serving.quantization": ["none", "int8", "int4"],
    "serving.max_num_seqs": [16, 32, 64],
}


def fill(db: str, store: Store) -> None:
    for number, (label, cases, repeats) in enumerate(RUNS):
        store.import_run(a_run(number, label, cases, repeats), parts(cases, repeats, number))
        print(f"{label}: {cases * repeats:,} attempts", flush=True)
    fill_study(db, store)


def fill_study(db: str, store: Store) -> None:
    """Adds a study of CANDIDATES candidates on 200 cases each, with Optuna's trials."""
    document = {"name": "study", "suite": ".", "objectives": ["quality", "goodput"], "budget": {"trials": CANDIDATES}}
    record = StudyRecord(
        name="study",
        suite="bench",
        suite_path="",
        suite_hash="0",
        document={**document, "space": SPACE},
        document_hash="0",
        split={"train": (), "test": ()},
        created_at=BEGUN,
    )
    store.studies.create(record)
    chance = random.Random(0)
    with opened_trials(db, "study", Space(parameters={})) as (trials, _):
        for number in range(1, CANDIDATES + 1):
            settings = {path: chance.choice(values) for path, values in SPACE.items()}
            store.studies.keep_candidate(a_candidate(number, settings, chance))
            choices = {path: CategoricalDistribution([str(each) for each in values]) for path, values in SPACE.items()}
            named = {path: str(value) for path, value in settings.items()}
            trials.add_trial(create_trial(params=named, distributions=choices, value=chance.random()))
    store.studies.finish("study", {})


def a_candidate(number: int, settings: dict[str, object], chance: random.Random) -> CandidateRecord:
    scores = {f"case_{each}": float(chance.random() < 0.4) for each in range(200)}
    figures = {"ttft_p95": 2 + chance.random(), "tpot_p50": chance.random(), "goodput": 3 * chance.random()}
    candidate = Candidate(
        number=number,
        settings=settings,
        end="finished",
        rung=5,
        quality=statistics.mean(scores.values()),
        scores=scores,
        figures=figures,
        by_rung=(figures,) * 6,
        case_runs=200,
        seconds=50,
    )
    at = BEGUN + timedelta(minutes=number)
    return CandidateRecord(
        study="study",
        number=number,
        settings=settings,
        worker="w",
        started_at=at,
        seen_at=at,
        ended_at=at,
        end="finished",
        result=candidate.to_json(),
    )


def pages() -> dict[str, str]:
    big, small, other = (a_run(number, *RUNS[number]).id for number in (0, 24, 25))
    return {
        "runs": "/runs",
        "runs, searched and sorted by right": "/runs?q=nightly&sort=right",
        "run of 50,000 attempts": f"/runs/{big}",
        "… its last page of attempts": f"/runs/{big}?page=500",
        "… wrong ones, slowest first": f"/runs/{big}?verdict=wrong&sort=seconds&order=down",
        "… a case searched": f"/runs/{big}?q=case_2499",
        "run of 2,000 attempts": f"/runs/{small}",
        "attempt": f"/runs/{big}/cases/{quote('case_777')}?repeat=1",
        "two runs of 2,000 compared": f"/compare?run={small}&run={other}",
        "suite over time, 26 runs": "/suites/bench",
        "studies": "/studies",
        f"study of {CANDIDATES} candidates": "/studies/study",
        "review, of 50,000 attempts": f"/runs/{big}/review?queue=uncertain&size=200",
        "agreement, of 50,000 attempts": f"/runs/{big}/agreement",
    }


def timed(connection: http.client.HTTPConnection, address: str) -> tuple[float, int]:
    """The milliseconds and bytes of a request."""
    begin = time.perf_counter()
    connection.request("GET", address)
    answer = connection.getresponse()
    size = len(answer.read())
    assert answer.status == 200, (address, answer.status)
    return (time.perf_counter() - begin) * 1000, size


def measured(db: Path, requests: int) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "agentbench", "ui", "--port", "0", "--review", "--reviewer", "cy", "--db", str(db)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        port = int(re.search(r"127\.0\.0\.1:(\d+)", server.stderr.readline())[1])  # type: ignore[index]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        first = {name: timed(connection, address) for name, address in pages().items()}
        times: dict[str, list[float]] = {name: [] for name in pages()}
        for _ in range(requests):
            for name, address in pages().items():
                times[name].append(timed(connection, address)[0])
    finally:
        server.terminate()
        server.wait()
    return [
        {
            "page": name,
            "first_ms": round(first[name][0], 1),
            "median_ms": round(statistics.median(found), 1),
            "p95_ms": round(sorted(found)[int(0.95 * len(found))], 1),
            "bytes": first[name][1],
        }
        for name, found in times.items()
    ]


def report(db: Path, work: Path) -> dict[str, object]:
    path = work / "report.html"
    command = [
        sys.executable,
        "-m",
        "agentbench",
        "report",
        a_run(24, *RUNS[24]).id,
        "--html",
        str(path),
        "--db",
        str(db),
    ]
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begin)
    return {"cases": 2000, "seconds": [round(each, 2) for each in seconds], "bytes": path.stat().st_size}


def render(found: dict[str, object]) -> str:
    lines = ["| page | first, ms | median, ms | p95, ms | kB |", "|---|---:|---:|---:|---:|"]
    for each in found["pages"]:  # type: ignore[attr-defined]
        row = (each["page"], each["first_ms"], each["median_ms"], each["p95_ms"], round(each["bytes"] / 1000))
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join([*lines, "", f"report: {found['report']}"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, default=Path("results/viewer-bench"))
    options.add_argument("--requests", type=int, default=30)
    chosen = options.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    db = chosen.work / "store.db"
    if not db.exists():
        partial = chosen.work / "partial.db"
        partial.unlink(missing_ok=True)
        with open_store(str(partial)) as store:
            fill(str(partial), store)
        partial.rename(db)
    found = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": cpu_model(),
        "requests": chosen.requests,
        "attempts": sum(cases * repeats for _, cases, repeats in RUNS),
        "pages": measured(db, chosen.requests),
        "report": report(db, chosen.work),
    }
    (HERE / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    print(render(found))


if __name__ == "__main__":
    main()
