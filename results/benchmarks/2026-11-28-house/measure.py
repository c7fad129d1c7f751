"""Compares the speed of two checkouts: before and after the modules moved to their present folders.

python results/benchmarks/2026-11-28-house/measure.py OLD NEW [ROUNDS [PART …]]

Writes figures.json and README.md next to it. The parts are harness, gateway, command_line and engines. Parts that are
not named keep their figures.

OLD and NEW are checkouts, each with its environment in .venv. Each round measures both in random order: the harness
(cases with an immediate answer, whose attempts are stored), the gateway (the time that it adds to a call, by the
checkout's own results/benchmarks/2026-11-23-gateway/measure.py), and the start of the command line. The engines are
measured last, by NEW's `agentbench bench --vs`: both servers run, and the load alternates between them.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CASES = 10_000
CONCURRENCY = (1, 8, 32)
SUITE = """\
name: cost
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, default: "yes"}
run: {concurrency: 64}
"""
GATEWAY = """\
import asyncio, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("measure", "results/benchmarks/2026-11-23-gateway/measure.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
async def main():
    found = {}
    with module.scripted_server() as url:
        endpoint = module.Endpoint(base_url=url, model="scripted")
        for at_once, pairs in ((1, 200), (16, 1600)):
            row = await module.measured(endpoint, at_once, module.WHERE[0], pairs)
            found[f"gateway_added_ms_c{at_once}"] = row["added_to_a_call_ms"]
    print(json.dumps(found))
asyncio.run(main())
"""
COMMANDS = {
    "cli_help_s": ("--help",),
    "cli_run_help_s": ("run", "--help"),
    "cli_studies_s": ("studies",),
}
# Without PYTHONDONTWRITEBYTECODE, compiled modules are cached as on a user's machine.
REMOVED_VARIABLES = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
Rounds = dict[str, dict[str, list[float]]]
"""A value per round, by figure and side."""
HIGHER = "higher is better"
LOWER = "lower is better"


def call(checkout: Path, *arguments: str, cwd: Path | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if name not in REMOVED_VARIABLES}
    done = subprocess.run(
        [str(checkout / ".venv/bin/python"), *arguments], cwd=cwd or checkout, env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(arguments)[:200]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def harness(checkout: Path, folder: Path) -> dict[str, float]:
    """Cases per second, from storing the run's plan to storing its final status."""
    store = folder / f"{time.perf_counter_ns()}.db"
    found = json.loads(call(checkout, "-m", "agentbench", "run", ".", "--db", str(store), "--json", cwd=folder))
    assert found["attempts_right"] == CASES
    began, ended = (datetime.fromisoformat(found[name]) for name in ("created_at", "finished_at"))
    return {"harness_cases_per_s": CASES / (ended - began).total_seconds()}


def gateway(checkout: Path, folder: Path) -> dict[str, float]:
    return json.loads(call(checkout, "-c", GATEWAY))  # type: ignore[no-any-return]


def command_line(checkout: Path, folder: Path) -> dict[str, float]:
    """Seconds of a process from start to exit, the minimum of five."""
    with tempfile.TemporaryDirectory() as place:
        call(checkout, "-m", "agentbench", "run", str(folder), "--limit", "1", cwd=Path(place))
        return {name: _minimum_s(checkout, arguments, Path(place)) for name, arguments in COMMANDS.items()}


def _minimum_s(checkout: Path, arguments: tuple[str, ...], folder: Path) -> float:
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        call(checkout, "-m", "agentbench", *arguments, cwd=folder)
        durations.append(time.perf_counter() - began)
    return min(durations)


@contextmanager
def served(checkout: Path) -> Iterator[str]:
    command = [str(checkout / ".venv/bin/python"), "-m", "agentbench", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://[\d.]+:\d+", line):
                    yield f"{found[0]}/v1"
                    return
            sys.exit(f"{checkout}: its server did not start")
        finally:
            process.terminate()


def engines(checkouts: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Output tokens per second of each round at each concurrency, measured by NEW's `bench --vs`."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        urls = {side: stack.enter_context(served(checkout)) for side, checkout in checkouts.items()}
        out = Path(folder) / "bench.json"
        call(
            checkouts["new"],
            *("-m", "agentbench", "bench", "--server", urls["new"], "--name", "new"),
            *("--vs", urls["old"], "--vs-name", "old", "--rounds", str(rounds)),
            *("--concurrency", ",".join(map(str, CONCURRENCY)), "--no-roofline", "--json", str(out)),
        )
        points = json.loads(out.read_text())["points"]
    return {
        f"engine_c{point['load']['concurrency']}_tokens_per_s": {
            side: [each["output_tokens_per_s"] for each in point["sides"][side]["round_figures"]] for side in checkouts
        }
        for point in points
    }


PARTS: dict[str, Callable[[Path, Path], dict[str, float]]] = {
    "harness": harness,
    "gateway": gateway,
    "command_line": command_line,
}


def main() -> None:
    checkouts = {"old": Path(sys.argv[1]).resolve(), "new": Path(sys.argv[2]).resolve()}
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    chosen = sys.argv[4:] or [*PARTS, "engines"]
    stored = HERE / "figures.json"
    figures = json.loads(stored.read_text()) if stored.exists() else {"parts": {}}
    found = interleaved(checkouts, rounds, [part for part in chosen if part in PARTS])
    if "engines" in chosen:
        found["engines"] = engines(checkouts, rounds)
    commits = {side: _commit(checkout) for side, checkout in checkouts.items()}
    for part, measured in found.items():
        figures["parts"][part] = {"commits": commits, "machine": _machine(), "rounds": measured}
    stored.write_text(json.dumps(figures, indent=1) + "\n")
    (HERE / "README.md").write_text(readme(figures))


def interleaved(
    checkouts: dict[str, Path], rounds: int, parts: list[str]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """The values of both sides, one per round, by part and figure."""
    chance = random.Random(0)
    found: dict[str, Rounds] = {part: {} for part in parts}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        (folder / "suite.yaml").write_text(SUITE)
        cases = ({"id": f"case-{n:06}", "input": f"Is {n} a number?", "expected": "yes"} for n in range(CASES))
        (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
        for number in range(rounds):
            for part in parts:
                for side in chance.sample(sorted(checkouts), 2):
                    for name, value in PARTS[part](checkouts[side], folder).items():
                        found[part].setdefault(name, {}).setdefault(side, []).append(value)
                    print(f"round {number}: {part} {side}", file=sys.stderr, flush=True)
    return found


def _commit(checkout: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()


def _machine() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} cores of {names[0] if names else 'an unknown CPU'}"


def readme(figures: dict[str, Any]) -> str:
    parts = figures["parts"].values()
    rows = [_row(name, sides, part["commits"]) for part in parts for name, sides in part["rounds"].items()]
    return README.format(table="\n".join(rows), machine=" and ".join({part["machine"] for part in parts}))


def _row(name: str, sides: dict[str, list[float]], commits: dict[str, str]) -> str:
    """The ratio is new / old where higher is better, old / new where lower is better."""
    is_rate = name.endswith("_per_s")
    ratios = [new / old if is_rate else old / new for old, new in zip(sides["old"], sides["new"], strict=True)]
    old, new = (statistics.median(sides[side]) for side in ("old", "new"))
    spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    return f"| `{name}` | {HIGHER if is_rate else LOWER} | {old:,.4g} | {new:,.4g} ({commits['new']}) | {spread} |"


README = """# Speed before and after the modules moved to their present folders

Written by `python results/benchmarks/2026-11-28-house/measure.py OLD NEW`; all figures are in figures.json. Old is
5ebc677, the last commit before the move. The commit of each new figure is in parentheses. Each round measures both
commits in random order. {machine}.
The ratio of a round is new / old where higher is better, and old / new where lower is better: above 1 the new commit is
better. All values, the ratios included, are medians over the rounds. Goal: a ratio of at least 0.97.

| figure | | old | new | ratio (minimum to maximum of the rounds) |
|---|---|---:|---:|---:|
{table}
"""

if __name__ == "__main__":
    main()
