"""Compares searching prompt and server together with one after the other, in equal time, at the table's speeds.

    python results/benchmarks/2026-11-24-tuner/ablation.py --seeds 30 --minutes 5 10 20

Time is that of the real engine: attempts take the time that the table has for their configuration, and the server
starts whenever its settings change. Writes ablation.json and prints the table of README.md.
"""

import argparse
import asyncio
import json
import statistics
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulate import BASELINE, WAYS, plan, study

from tuners.engine.table_evaluator import ReplayEvaluator, ReplayTable, read_table
from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Measured
from tuners.search.journal import MemoryJournal
from tuners.search.samplers import seeded
from tuners.search.search import Search
from tuners.search.trials import Trials
from tuners.space.configuration import Configuration
from tuners.space.space import Settings, Space
from tuners.verdict.finalists import choose_finalists, choose_winner

HERE = Path(__file__).parent
START_S = 6.0
ARMS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "joint": (("agent.", "serving."),),
    "prompt, then serving": (("agent.",), ("serving.",)),
    "serving, then prompt": (("serving.",), ("agent.",)),
}
"""What the parts of an arm's time search."""


class Clocked(ReplayEvaluator):
    """A table that takes as long as the engine did."""

    def __init__(self, table: ReplayTable, baseline: Settings, seconds: float) -> None:
        super().__init__(table, baseline)
        self.rates = table
        self.seconds = seconds
        self.running = ""

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        answers = await super().answer(configuration, cases, allowance)
        if answers.fresh:
            self.seconds += START_S * (configuration.served != self.running)
            self.running = configuration.served
            self.seconds += answers.fresh / answers.figures["attempts_per_s"]
        return answers

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        measured = await super().measure(configuration, lossless, allowance)
        if measured.replayed:
            self.running = ""
            self.seconds += START_S + measured.replayed / measured.figures["attempts_per_s"]
        return measured


async def searched(
    table: ReplayTable, baseline: Settings, parts: tuple[str, ...], seed: int, clock: tuple[float, float]
) -> tuple[Settings, float]:
    """The winner's settings that differ from the baseline's, and the time in seconds at which it was found. `clock` is
    (now, end)."""

    file = study()
    the_plan = plan(file, table, WAYS["factorized, rungs"], seed)
    wanted = frozenset(path for path in file.space if path.startswith(parts))
    outer, inner = (Space.only(space, wanted & set(space.parameters)) for space in (the_plan.outer, the_plan.inner))
    # A search over prompts alone can't affect whether the server meets its limits.
    limits = the_plan.limits if any(path.startswith("serving.") for path in wanted) else ()
    the_plan = replace(the_plan, outer=outer, inner=inner, limits=limits)
    evaluator = Clocked(table, baseline, clock[0])
    trials = Trials.in_memory(outer, seeded("tpe", seed))
    spending = Spending(BudgetOptions(seconds=clock[1] - clock[0]), clock=lambda: evaluator.seconds)
    search = Search(the_plan, evaluator, trials, MemoryJournal(), spending)
    async for _ in search.run():
        pass
    best = winner(search.candidates)
    return {**baseline, **(best.settings if best else {})}, evaluator.seconds


def winner(candidates: Sequence[Candidate]) -> Candidate | None:
    objectives = study().objectives
    finalists = choose_finalists(candidates, 2, objectives)
    answers = {each.number: Answers(scores=each.scores, fresh=0, figures=each.figures) for each in finalists}
    return choose_winner(finalists, answers, objectives) if finalists else None


def run(arm: str, seed: int, minutes: float) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    table = read_table(HERE / "table.json.gz")
    settings, now = dict(BASELINE), 0.0
    for number, parts in enumerate(ARMS[arm], 1):
        end = 60 * minutes * number / len(ARMS[arm])
        found, now = asyncio.run(searched(table, settings, parts, seed, (now, end)))
        settings = clean(found)
    return {"arm": arm, "seed": seed, "minutes": minutes, "settings": settings, **judged(table, settings)}


def clean(settings: Settings) -> dict[str, Any]:
    """Without what holds for constrained output alone, where it is free."""
    free = settings["agent.output"] == "free"
    return {path: v for path, v in settings.items() if not (free and path in ("agent.tools_in", "agent.instructions"))}


def judged(table: ReplayTable, settings: Settings) -> dict[str, float]:
    """The quality over all cases of the table, and the goodput of the configuration."""
    row, column = ReplayEvaluator(table, settings)._place({})
    figures = table.figures[row][column]
    return {
        "quality": sum(table.scores[row]) / len(table.cases),
        "goodput": figures.get("goodput", 0.0),
        "ttft_p95": figures["ttft_p95"],
    }


def render(found: Sequence[Mapping[str, Any]], minutes: Sequence[float]) -> str:
    lines = ["| minutes | search | quality, mean | goodput/s, mean | minimum | maximum |", "|---|---|---|---|---|---|"]
    for each in minutes:
        for arm in ARMS:
            of_arm = [x for x in found if x["arm"] == arm and x["minutes"] == each]
            goodputs = [x["goodput"] for x in of_arm]
            quality = statistics.mean(x["quality"] for x in of_arm)
            lines.append(
                f"| {each:g} | {arm} | {quality:.1%} | {statistics.mean(goodputs):.2f} |"
                f" {min(goodputs):.2f} | {max(goodputs):.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 10, 20])
    options = parser.parse_args()
    jobs = [(arm, seed, each) for each in options.minutes for arm in ARMS for seed in range(options.seeds)]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(run, *zip(*jobs, strict=True)))
    (HERE / "ablation.json").write_text(json.dumps(found, indent=1) + "\n")
    print(render(found, options.minutes))


if __name__ == "__main__":
    main()
