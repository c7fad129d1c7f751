"""The verdict: finalists answer train again with fresh seeds, the winner meets the baseline once on untouched cases."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import Any

from agentbench.loadtest.ratios import ratios
from agentbench.stats import Outcome, compare_passes, summarize_serving
from agentbench.stats.shift import compare_latency
from tuners.candidate import BASELINE, Candidate
from tuners.evaluator import Answers, Broken, Figures
from tuners.finalists import choose_finalists, choose_winner
from tuners.live import LiveEvaluator
from tuners.search import Plan
from tuners.space import Settings
from tuners.study import Study

FRESH = 1_000_003
"""Added to the study's seed it is that of the finals: no answer of the search was given with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`finals` has the finalists' qualities on train with fresh seeds; `runs` the ids of the runs on test: of
    `winner`, of `baseline`, and of `served`, the winner's agent on the baseline's server, where that answers otherwise.

    `passes`, `ttft` and `tpot` are winner − baseline, paired on the test cases, `references` winner − each of the
    study's references. `serving` has the ratio of each figure
    of the winner to the same agent on the baseline's server, with its interval; `served_passes` is what that did to
    the answers, nothing where it is sure to do nothing. `payback` says after how many attempts the study's time is made
    up for. Without a winner `nearest` says what came nearest to the constraints.
    """

    winner: int | None = None
    settings: Settings = field(default_factory=dict)
    finals: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, Any] = field(default_factory=dict)
    ttft: Mapping[str, Any] | None = None
    tpot: Mapping[str, Any] | None = None
    references: Mapping[str, Any] = field(default_factory=dict)
    serving: Mapping[str, Any] = field(default_factory=dict)
    served_passes: Mapping[str, Any] = field(default_factory=dict)
    payback: Mapping[str, float | None] = field(default_factory=dict)
    nearest: int | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict_of_json(data: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**data, "notes": tuple(data["notes"])})


async def judge(
    study: Study, plan: Plan, evaluator: LiveEvaluator, candidates: Sequence[Candidate], seconds: float
) -> Verdict:
    """The verdict on what the search found, in `seconds` so far."""
    began = monotonic()
    finalists = choose_finalists(candidates, study.file.rungs.finalists, study.file.objectives)
    if not finalists:
        return _without_winner(candidates)
    finals = await _finals(study, plan, evaluator, finalists)
    if not finals:
        return Verdict(notes=("no finalist's server held up when it answered train again",))
    winner = choose_winner(finalists, finals, study.file.objectives)
    verdict = Verdict(
        winner=winner.number,
        settings=winner.settings,
        finals={str(number): _mean(answers) for number, answers in finals.items()},
    )
    verdict = await _on_test(study, evaluator, verdict)
    verdict = await _with_references(study, evaluator, verdict)
    verdict = await _with_serving(study, evaluator, verdict)
    spent = seconds + monotonic() - began
    return replace(verdict, seconds=monotonic() - began, payback=_payback(evaluator, study, verdict, spent))


def _without_winner(candidates: Sequence[Candidate]) -> Verdict:
    tried = [each for each in candidates if each.scores]
    nearest = min(tried, key=lambda each: (sum(max(0.0, x) for x in each.excess.values()), -each.quality), default=None)
    note = "no candidate meets every constraint" if nearest else "no candidate answered a case"
    return Verdict(nearest=nearest.number if nearest else None, notes=(note,))


async def _finals(
    study: Study, plan: Plan, evaluator: LiveEvaluator, finalists: Sequence[Candidate]
) -> dict[int, Answers]:
    """Number to what it answers on all of train with seeds that the search did not use."""
    found: dict[int, Answers] = {}
    for candidate in finalists:
        try:
            answers = await evaluator.answer(candidate.settings, plan.rungs.order, study.file.seed + FRESH, "final")
        except Broken:
            continue
        found[candidate.number] = answers
    return found


def _mean(answers: Answers) -> float:
    return sum(answers.scores.values()) / len(answers.scores) if answers.scores else 0.0


async def _on_test(study: Study, evaluator: LiveEvaluator, verdict: Verdict) -> Verdict:
    """The winner and the baseline on the test cases, once; a run that is there is not made again."""
    if verdict.winner == BASELINE:
        return replace(verdict, notes=("nothing was found that is better than the baseline",))
    sides = {"winner": verdict.settings, "baseline": {}}
    for settings in sides.values():
        try:
            await evaluator.answer(settings, study.split.test, study.file.seed, "test")
        except Broken as broken:
            return replace(verdict, notes=(f"the test was broken off: {broken}",))
    runs = {side: evaluator.test_run(settings) for side, settings in sides.items()}
    winner, baseline = (evaluator.outcomes_of_run(runs[side]) for side in ("winner", "baseline"))
    shifts = {name: compare_latency(winner, baseline, name) for name in ("ttft", "tpot")}
    found = {name: None if shift is None else asdict(shift) for name, shift in shifts.items()}
    return replace(verdict, runs=runs, passes=_passes(winner, baseline), **found)  # type: ignore[arg-type]


def _passes(a: Sequence[Outcome], b: Sequence[Outcome]) -> dict[str, Any]:
    """A − B, paired on cases."""
    passes = asdict(compare_passes(a, b))
    passes.pop("power")
    return passes


async def _with_references(study: Study, evaluator: LiveEvaluator, verdict: Verdict) -> Verdict:
    """The references on the test cases, once, each held against the winner."""
    for name, settings in study.file.references.items() if verdict.runs else ():
        try:
            await evaluator.answer(settings, study.split.test, study.file.seed, "test")
        except Broken as broken:
            verdict = replace(verdict, notes=(*verdict.notes, f"{name} broke off: {broken}"))
            continue
        run = evaluator.test_run(settings)
        passes = _passes(evaluator.outcomes_of_run(verdict.runs["winner"]), evaluator.outcomes_of_run(run))
        verdict = replace(verdict, runs={**verdict.runs, name: run}, references={**verdict.references, name: passes})
    return verdict


async def _with_serving(study: Study, evaluator: LiveEvaluator, verdict: Verdict) -> Verdict:
    """The winner's server against the baseline's under the winner's agent: traces of test sent to both in turn."""
    agent = {path: value for path, value in verdict.settings.items() if not path.startswith("serving.")}
    if agent == verdict.settings or not verdict.runs:
        return verdict
    runs = dict(verdict.runs)
    try:
        if evaluator.answers_alike(verdict.settings, agent):
            served = runs["winner"]
        else:
            await evaluator.answer(agent, study.split.test, study.file.seed, "test")
            served = runs["served"] = evaluator.test_run(agent)
        pairs = ((verdict.settings, runs["winner"]), (agent, served))
        rounds = await evaluator.in_turn(*pairs, study.file.replay.rounds)
    except Broken as broken:
        return replace(verdict, notes=(*verdict.notes, f"the servers could not be compared: {broken}"))
    tuned, default = ([_named(figures) for figures in side] for side in zip(*rounds, strict=True))
    outcomes = evaluator.outcomes_of_run
    passes = _passes(outcomes(runs["winner"]), outcomes(served)) if "served" in runs else {}
    return replace(verdict, runs=runs, serving=ratios(tuned, default), served_passes=passes)


def _named(figures: Figures) -> dict[str, float]:
    """By the names that `ratios` knows: rates end in _per_s, times in _s."""
    renamed = {"goodput": "goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}
    return {renamed.get(name, f"{name}_s"): value for name, value in figures.items()}


def _payback(evaluator: LiveEvaluator, study: Study, verdict: Verdict, seconds: float) -> Mapping[str, float | None]:
    """Server seconds of an attempt and of a right answer, of both; the attempts after which `seconds` are made up for.

    None where the winner saves nothing.
    """
    if not verdict.runs:
        return {}
    found: dict[str, float | None] = {"seconds": seconds}
    for side in ("winner", "baseline"):
        outcomes = evaluator.outcomes_of_run(verdict.runs[side])
        figures = evaluator.figures(outcomes, evaluator.configuration({}))
        right = sum(outcome.passed is True for outcome in outcomes)
        elapsed = _elapsed(outcomes)
        found[f"{side}_s_per_attempt"] = elapsed / len(outcomes)
        found[f"{side}_s_per_right"] = elapsed / right if right else None
        found[f"{side}_goodput"] = figures.get("goodput")
    found["attempts"] = _after(seconds, found["baseline_s_per_attempt"], found["winner_s_per_attempt"])
    found["right_answers"] = _after(seconds, found["baseline_s_per_right"], found["winner_s_per_right"])
    return found


def _elapsed(outcomes: Sequence[Outcome]) -> float:
    return summarize_serving(outcomes).wall_s or 0.0


def _after(seconds: float, before: float | None, now: float | None) -> float | None:
    return seconds / (before - now) if before is not None and now is not None and before > now else None
