"""Compares searching prompt and server together with one after the other, in equal time, on the real engine.

    python results/benchmarks/2026-11-24-tuner/real_ablation.py --minutes 5 --seeds 5 --root results/ablation

Every search is `agentbench tune --search-only` with its own store. The search methods take turns, so that drift of the
machine's speed affects all of them. Then each winner answers the test cases once, in a common store. Results that are
under --root are not repeated. Writes real_ablation.json and prints the table of README.md.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import yaml
from ablation import ARMS

from agentbench.store import open_store
from tuners.engine.evaluator import LiveEvaluator
from tuners.search.evaluator import Answers
from tuners.search.journal import ended_candidates
from tuners.space.space import Settings
from tuners.study.study import find_study, make_study, store_study
from tuners.verdict.finalists import choose_finalists, choose_winner

HERE = Path(__file__).parent
STUDY = HERE.parents[2] / "suites/bfcl_simple/study.yaml"


def searched(root: Path, arm: str, seed: int, minutes: float) -> Settings:
    """The winner's settings over the suite's own, after the arm's parts."""
    settings: dict[str, Any] = dict(yaml.safe_load(STUDY.read_text())["baseline"])
    for number, parts in enumerate(ARMS[arm]):
        place = root / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}-{number}"
        settings |= part(place, parts, settings, seed, 60 * minutes / len(ARMS[arm]))
    return settings


def part(place: Path, parts: tuple[str, ...], baseline: Settings, seed: int, seconds: float) -> Settings:
    """The winner of one search; a finished search is read from its store."""
    place.mkdir(parents=True, exist_ok=True)
    db = str(place / "store.db")
    if not (place / "done").exists():
        (place / "store.db").unlink(missing_ok=True)
        path = place / "study.yaml"
        path.write_text(yaml.safe_dump(document(parts, baseline, seed, seconds), sort_keys=False))
        command = [sys.executable, "-m", "agentbench", "tune", str(path.resolve()), "--search-only", "--db", "store.db"]
        subprocess.run(command, cwd=place, check=True, stdout=(place / "out.txt").open("w"))
        (place / "done").touch()
    with open_store(db, create=False) as store:
        study = find_study("ablation", store, {})
        finalists = choose_finalists(ended_candidates(store, "ablation"), 2, study.file.objectives)
    answers = {each.number: Answers(scores=each.scores, fresh=0, figures=each.figures) for each in finalists}
    return choose_winner(finalists, answers, study.file.objectives).settings if finalists else {}


def document(parts: tuple[str, ...], baseline: Settings, seed: int, seconds: float) -> dict[str, Any]:
    """The suite's study with a part of its space. A search over prompts alone has no constraints on the server: it
    can't affect them."""
    found: dict[str, Any] = yaml.safe_load(STUDY.read_text())
    serves = any(name.startswith("serving.") for name in parts)
    space = {path: values for path, values in found["space"].items() if path.startswith(parts)}
    changed = {"name": "ablation", "suite": str(STUDY.parent.resolve()), "baseline": dict(baseline), "seed": seed}
    limits = found["constraints"] if serves else {}
    return {**found, **changed, "constraints": limits, "budget": {"seconds": seconds}, "space": space}


async def judged(root: Path, winners: Sequence[tuple[str, int, Settings]]) -> list[dict[str, Any]]:
    """Each winner on the test cases: its quality, and its figures under the study's objectives.

    Searches that found the same configuration share one run. A second run would be answered from the cache, without
    times.
    """
    found: list[dict[str, Any]] = []
    known: dict[str, dict[str, Any]] = {}
    with open_store(str(root / "test.db")) as store:
        if not store.studies.names():
            store_study(make_study(STUDY, {"name": "judged"}), store)
        study = find_study("judged", store, {})
        evaluator = LiveEvaluator(study, store)
        async with aclosing(evaluator):
            for arm, seed, settings in winners:
                key = evaluator.configuration(settings).key
                if key not in known:
                    known[key] = await tested(evaluator, study.split.test, settings)
                found.append({"arm": arm, "seed": seed, **known[key], "settings": settings})
                print(
                    f"{arm} {seed}: {known[key]['quality']:.1%}, {known[key]['figures']['goodput']:.2f}/s", flush=True
                )
    return found


async def tested(evaluator: LiveEvaluator, cases: Sequence[str], settings: Settings) -> dict[str, Any]:
    configuration = evaluator.configuration(settings)
    answers = await evaluator.answer(configuration, cases, purpose="test")
    outcomes = evaluator.runs.outcomes(evaluator.runs.on_test(configuration))
    assert len(outcomes) == len(cases), "answered from the cache under other knobs: not timed"
    figures = evaluator.figures(outcomes, configuration)
    return {"quality": sum(answers.scores.values()) / len(answers.scores), "figures": figures}


def render(found: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| search | test accuracy, mean | minimum to maximum | goodput/s, mean | minimum to maximum |",
        "|---|---|---|---|---|",
    ]
    for arm in ARMS:
        qualities = [each["quality"] for each in found if each["arm"] == arm]
        goodputs = [each["figures"]["goodput"] for each in found if each["arm"] == arm]
        lines.append(
            f"| {arm} | {statistics.mean(qualities):.1%} | {min(qualities):.1%} to {max(qualities):.1%} |"
            f" {statistics.mean(goodputs):.2f} | {min(goodputs):.2f} to {max(goodputs):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--root", type=Path, default=Path("results/ablation"))
    options = parser.parse_args()
    winners = []
    for seed in range(options.seeds):
        for arm in ARMS:
            winners.append((arm, seed, searched(options.root, arm, seed, options.minutes)))
            print(f"{arm}, seed {seed}: {winners[-1][2]}"[:200], flush=True)
    found = asyncio.run(judged(options.root, winners))
    (HERE / "real_ablation.json").write_text(
        json.dumps({"minutes": options.minutes, "winners": found}, indent=1) + "\n"
    )
    print(render(found))


if __name__ == "__main__":
    main()
