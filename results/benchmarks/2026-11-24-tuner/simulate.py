"""Counts the case-runs that each search method needs to reach the goal, over many seeds, on the real engine's table.

    python results/benchmarks/2026-11-24-tuner/simulate.py --seeds 30

Writes figures.json and prints the tables of README.md. A search reaches the goal when its best candidate meets the
constraints and is right on at least 95 % as many cases as the best configuration of the table that meets them. Requests
that tune this candidate's knobs afterwards are not counted, unless only the tuned knobs meet the constraints.
"""

import argparse
import asyncio
import json
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentbench.core.case import Case
from tuners.engine.table_evaluator import ReplayEvaluator, ReplayTable, read_table
from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Limit, limits_of
from tuners.search.journal import MemoryJournal
from tuners.search.rungs import plan_rungs
from tuners.search.samplers import seeded
from tuners.search.search import Plan, Search
from tuners.search.trials import Trials
from tuners.space.configuration import Configuration
from tuners.space.space import Space
from tuners.study.file import StudyFile

HERE = Path(__file__).parent
SHARE = 0.95
SIZES = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A search method."""

    sampler: str
    factorized: bool
    rungs: bool
    cache: bool


WAYS: Mapping[str, Way] = {
    "random": Way(sampler="random", factorized=False, rungs=False, cache=False),
    "flat TPE": Way(sampler="tpe", factorized=False, rungs=False, cache=False),
    "flat TPE, cache": Way(sampler="tpe", factorized=False, rungs=False, cache=True),
    "flat TPE, cache and rungs": Way(sampler="tpe", factorized=False, rungs=True, cache=True),
    "factorized, no rungs": Way(sampler="tpe", factorized=True, rungs=False, cache=True),
    "factorized, rungs": Way(sampler="tpe", factorized=True, rungs=True, cache=True),
}


def study() -> StudyFile:
    document = yaml.safe_load((HERE / "space.yaml").read_text(encoding="utf-8"))
    return StudyFile.model_validate(document)


def plan(file: StudyFile, table: ReplayTable, way: Way, seed: int) -> Plan:
    space, inner_paths = file.parameters(), table.paths[1]
    outer = space.only(frozenset(space.parameters) - inner_paths) if way.factorized else space
    inner = space.only(inner_paths) if way.factorized else Space(parameters={})
    cases = [
        Case(id=case, messages=(), cluster=cluster) for case, cluster in zip(table.cases, table.clusters, strict=True)
    ]
    return Plan(
        outer=outer,
        inner=inner,
        rungs=plan_rungs(cases, SIZES if way.rungs else (), file.rungs.alpha, seed),
        clusters=dict(zip(table.cases, table.clusters, strict=True)),
        limits=limits_of(file.bounds()),
        opening=file.rungs.opening if way.rungs else 1,
        seed=seed,
    )


def truth(file: StudyFile, table: ReplayTable) -> tuple[float, set[int]]:
    """The best quality among the configurations that meet the constraints, and the rows with this quality."""
    limits = limits_of(file.bounds())
    qualities = {
        row: sum(table.scores[row]) / len(table.cases)
        for row in range(len(table.outer))
        if any(all(limit.excess(figures) <= 0 for limit in limits) for figures in table.figures[row])
    }
    best = max(qualities.values())
    return best, {row for row, quality in qualities.items() if quality == best}


class Noted(ReplayEvaluator):
    """Knows what had been spent when the last answer was given: before knobs were tuned."""

    answered = 0

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        found = await super().answer(configuration, cases, allowance)
        self.answered = self.spent()
        return found


def met_before_tuning(candidate: Candidate, limits: tuple[Limit, ...]) -> bool:
    """Whether it met the constraints under the knobs it was answered with."""
    return bool(candidate.by_rung) and all(limit.excess(candidate.by_rung[-1]) <= 0 for limit in limits)


def searched(way_name: str, seed: int) -> dict[str, Any]:
    """Case-runs until the goal is reached, None if it never is; and whether the best configuration was dropped."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    file, table, way = study(), read_table(HERE / "table.json.gz"), WAYS[way_name]
    best, rows = truth(file, table)
    the_plan = plan(file, table, way, seed)
    evaluator = Noted(table, BASELINE, cache=way.cache)
    trials = Trials.in_memory(the_plan.outer, seeded(way.sampler, seed))  # type: ignore[arg-type]
    spending = Spending(BudgetOptions(trials=1000), clock=lambda: 0.0)
    search = Search(the_plan, evaluator, trials, MemoryJournal(), spending)
    best_rows = [table.outer[row] for row in rows]

    async def go() -> dict[str, Any]:
        reached, dropped, tried = None, 0, 0
        async for candidate in search.run():
            if any(row.items() <= {**BASELINE, **candidate.settings}.items() for row in best_rows):
                tried, dropped = tried + 1, dropped + (candidate.end == "dropped")
            if reached is None and search.best is not None and search.best.quality >= SHARE * best:
                own = search.best.number == candidate.number and met_before_tuning(candidate, the_plan.limits)
                reached = evaluator.answered if own else evaluator.spent()
            if reached is not None and (tried or evaluator.spent() > 4 * reached + 8000):
                break
        return {"way": way_name, "seed": seed, "case_runs": reached, "tried": tried, "dropped": dropped}

    return asyncio.run(go())


BASELINE: Mapping[str, Any] = {
    "agent.output": "free",
    "agent.tool_format": "signature",
    "agent.demonstrations": [],
    "serving.quantization": "none",
    "serving.max_num_seqs": 32,
    "serving.speculative": "none",
}


def summary(found: list[dict[str, Any]], cap: int) -> dict[str, Any]:
    runs = sorted(each["case_runs"] if each["case_runs"] is not None else cap for each in found)
    tried = sum(each["tried"] for each in found)
    return {
        "median": statistics.median(runs),
        "p90": runs[min(len(runs) - 1, int(0.9 * len(runs)))],
        "reached": sum(each["case_runs"] is not None for each in found),
        "best_tried": tried,
        "best_dropped": sum(each["dropped"] for each in found),
    }


def render(summaries: Mapping[str, Any]) -> str:
    ours = summaries["factorized, rungs"]["median"]
    lines = [
        "| search | case-runs, median | 90th percentile | factorized, rungs / this | reached the goal | tried the best "
        "| dropped the best |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in summaries.items():
        lines.append(
            f"| {name} | {each['median']:,.0f} | {each['p90']:,.0f} | {ours / each['median']:.2f} |"
            f" {each['reached']} | {each['best_tried']} | {each['best_dropped']} |"
        )
    return "\n".join(lines)


def main(first: int, seeds: int, run: Callable[..., Any] = searched) -> None:
    table, file = read_table(HERE / "table.json.gz"), study()
    best, rows = truth(file, table)
    cap = len(table.outer) * len(table.inner) * len(table.cases)
    jobs = [(name, seed) for name in WAYS for seed in range(first, first + seeds)]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(run, *zip(*jobs, strict=True)))
    summaries = {name: summary([each for each in found if each["way"] == name], cap) for name in WAYS}
    print(f"best that meets the constraints: {best:.1%}, {len(rows)} of {len(table.outer)}; goal {SHARE * best:.1%}\n")
    print(render(summaries))
    (HERE / "figures.json").write_text(
        json.dumps({"best": best, "ways": summaries, "searches": found}, indent=1) + "\n"
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--first", type=int, default=0, help="the first seed")
    chosen = options.parse_args()
    main(chosen.first, chosen.seeds)
