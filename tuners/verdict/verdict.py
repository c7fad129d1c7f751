"""The verdict: finalists answer train again with fresh seeds, the winner meets the baseline once on untouched cases."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import Any, Protocol

from agentbench.core.errors import UserError
from agentbench.core.study import Purpose
from agentbench.loadtest.result import ratios
from agentbench.stats import Outcome, compare_passes, summarize_serving
from agentbench.stats.comparison import compare_latency
from agentbench.stats.outcomes import agent_failures_as_wrong
from tuners.search.candidate import BASELINE, Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Broken, Figures, too_many
from tuners.search.search import Plan
from tuners.space.configuration import Configuration
from tuners.space.space import Settings
from tuners.study.study import Study
from tuners.verdict.finalists import choose_finalists, choose_winner

FRESH = 1_000_003
"""Added to the study's seed it is that of the finals: no answer of the search was given with it."""


class Runs(Protocol):
    """The runs that a jury's answers are in."""

    def on_test(self, configuration: Configuration) -> str:
        """The id of a configuration's run on test."""
        ...

    def outcomes(self, run_id: str) -> Sequence[Outcome]: ...

    def failure(self, run_id: str) -> str:
        """Why one of its attempts failed without the agent's doing."""
        ...

    def goodput(self, outcomes: Sequence[Outcome]) -> float | None:
        """Right answers per second that met the study's objectives."""
        ...

    async def in_turn(
        self, a: tuple[Configuration, str], b: tuple[Configuration, str], rounds: int
    ) -> Sequence[tuple[Figures, Figures]]:
        """The figures of each round of two stored runs' traces, each sent to its own server, one after the other."""
        ...


class Jury(Protocol):
    """Answers cases for a verdict."""

    @property
    def runs(self) -> Runs:
        """The runs that its answers are in."""
        ...

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """What a candidate of these settings is run with, by the study's seed or another one."""
        ...

    async def answer(
        self,
        configuration: Configuration,
        cases: Sequence[str],
        allowance: Allowance = UNBOUNDED,
        purpose: Purpose = "search",
    ) -> Answers:
        """As in a search; those of another purpose are in a run of their own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`finals` has the finalists' qualities on train with fresh seeds; `runs` the ids of the runs on test: of
    `winner`, of `baseline`, and of `served`, the winner's agent on the baseline's server, where that answers otherwise.

    `passes`, `ttft` and `tpot` are winner − baseline, paired on the test cases, `references` winner − each of the
    study's references. `serving` has the ratio of each figure
    of the winner to the same agent on the baseline's server, with its interval; `served_passes` is what that did to
    the answers, nothing where it is sure to do nothing. `payback` says after how many attempts the study's time is made
    up for. Without a winner `nearest` says what came nearest to the constraints, or who broke on test.
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


async def judge(study: Study, plan: Plan, evaluator: Jury, candidates: Sequence[Candidate], seconds: float) -> Verdict:
    """The verdict on what the search found, in `seconds` so far."""
    began = monotonic()
    finalists = choose_finalists(candidates, study.file.rungs.finalists, study.file.objectives)
    if not finalists:
        return _without_winner(candidates)
    finals, broke = await _finals(study, plan, evaluator, finalists)
    if not finals:
        raise UserError(
            f"no verdict yet: no finalist held up when it answered train again ({'; '.join(broke)}). No test case was"
            f" asked: agentbench tune --resume {study.name} tries again"
        )
    winner = choose_winner(finalists, finals, study.file.objectives)
    verdict = Verdict(
        winner=winner.number,
        settings=winner.settings,
        finals={str(number): _mean(answers) for number, answers in finals.items()},
    )
    verdict = await _on_test(study, evaluator, verdict)
    if verdict.winner is None:
        return replace(verdict, seconds=monotonic() - began)
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
    study: Study, plan: Plan, evaluator: Jury, finalists: Sequence[Candidate]
) -> tuple[dict[int, Answers], list[str]]:
    """Number to what it answers on all of train with seeds that the search did not use; and who broke of what."""
    found: dict[int, Answers] = {}
    broke: list[str] = []
    for candidate in finalists:
        configuration = evaluator.configuration(candidate.settings, study.file.seed + FRESH)
        try:
            answers = await evaluator.answer(configuration, plan.rungs.order, purpose="final")
        except Broken as broken:
            broke.append(f"candidate {candidate.number}: {broken}")
            continue
        if too_many(answers.failed, answers.attempts, plan.max_failures):
            failed = f"{answers.failed} of {answers.attempts} attempts failed"
            broke.append(f"candidate {candidate.number}: {failed}: {answers.failure}")
            continue
        found[candidate.number] = answers
    return found, broke


def _mean(answers: Answers) -> float:
    return sum(answers.scores.values()) / len(answers.scores) if answers.scores else 0.0


async def _on_test(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The winner and the baseline on the test cases, once; a run that is there is not made again.

    There is no winner where one of the two broke, or where too many of the cases could not be compared: what was left
    out may be just what it is bad at.
    """
    if verdict.winner == BASELINE:
        return replace(verdict, notes=("nothing was found that is better than the baseline",))
    runs: dict[str, str] = {}
    for side, settings in {"winner": verdict.settings, "baseline": {}}.items():
        configuration = evaluator.configuration(settings)
        runs[side] = evaluator.runs.on_test(configuration)
        try:
            await evaluator.answer(configuration, study.split.test, purpose="test")
        except Broken as broken:
            return _undecided(verdict, runs, f"the {side} broke on the test cases: {broken}")
    winner, baseline = (evaluator.runs.outcomes(runs[side]) for side in ("winner", "baseline"))
    passes = _passes(winner, baseline)
    if too_many(passes["excluded"], len(baseline), study.file.max_failures):
        failures = [evaluator.runs.failure(run_id) for run_id in runs.values()]
        left_out = f"{passes['excluded']} of {len(baseline)} attempts on test were left out on one side or the other"
        return _undecided(verdict, runs, f"{left_out}, more than max_failures allows: {' / '.join(failures)}")
    shifts = {name: compare_latency(winner, baseline, name) for name in ("ttft", "tpot")}
    found = {name: None if shift is None else asdict(shift) for name, shift in shifts.items()}
    return replace(verdict, runs=runs, passes=passes, **found)  # type: ignore[arg-type]


def _undecided(verdict: Verdict, runs: Mapping[str, str], note: str) -> Verdict:
    """Nobody won, though test cases were asked."""
    return replace(verdict, winner=None, settings={}, nearest=verdict.winner, runs=runs, notes=(note,))


def _passes(a: Sequence[Outcome], b: Sequence[Outcome]) -> dict[str, Any]:
    """A − B, paired on cases. An agent that raised or ran out of its limits was not right; what the server, a tool or
    a scorer failed is left out of both."""
    passes = compare_passes(agent_failures_as_wrong(a), agent_failures_as_wrong(b)).to_json()
    passes.pop("power")
    return passes


async def _with_references(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The references on the test cases, once, each held against the winner."""
    for name, settings in study.file.references.items() if verdict.runs else ():
        configuration = evaluator.configuration(settings)
        try:
            await evaluator.answer(configuration, study.split.test, purpose="test")
        except Broken as broken:
            verdict = replace(verdict, notes=(*verdict.notes, f"{name} broke off: {broken}"))
            continue
        run = evaluator.runs.on_test(configuration)
        passes = _passes(evaluator.runs.outcomes(verdict.runs["winner"]), evaluator.runs.outcomes(run))
        if too_many(passes["excluded"], len(study.split.test), study.file.max_failures):
            note = f"{name} can't be compared: {passes['excluded']} attempts failed: {evaluator.runs.failure(run)}"
            verdict = replace(verdict, notes=(*verdict.notes, note))
            continue
        verdict = replace(verdict, runs={**verdict.runs, name: run}, references={**verdict.references, name: passes})
    return verdict


async def _with_serving(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The winner's server against the baseline's under the winner's agent: traces of test sent to both in turn."""
    of_agent = {path: value for path, value in verdict.settings.items() if not path.startswith("serving.")}
    if of_agent == verdict.settings or not verdict.runs:
        return verdict
    winner, agent = (evaluator.configuration(settings) for settings in (verdict.settings, of_agent))
    runs = dict(verdict.runs)
    try:
        if winner.answers == agent.answers:
            served = runs["winner"]
        else:
            await evaluator.answer(agent, study.split.test, purpose="test")
            served = runs["served"] = evaluator.runs.on_test(agent)
        pairs = ((winner, runs["winner"]), (agent, served))
        rounds = await evaluator.runs.in_turn(*pairs, study.file.replay.rounds)
    except Broken as broken:
        return replace(verdict, notes=(*verdict.notes, f"the servers could not be compared: {broken}"))
    tuned, default = ([_named(figures) for figures in side] for side in zip(*rounds, strict=True))
    outcomes = evaluator.runs.outcomes
    passes = _passes(outcomes(runs["winner"]), outcomes(served)) if "served" in runs else {}
    return replace(verdict, runs=runs, serving=ratios(tuned, default), served_passes=passes)


def _named(figures: Figures) -> dict[str, float]:
    """By the names that `ratios` knows: rates end in _per_s, times in _s."""
    renamed = {"goodput": "goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}
    return {renamed.get(name, f"{name}_s"): value for name, value in figures.items()}


def _payback(evaluator: Jury, study: Study, verdict: Verdict, seconds: float) -> Mapping[str, float | None]:
    """Server seconds of an attempt and of a right answer, of both; the attempts after which `seconds` are made up for.

    None where the winner saves nothing.
    """
    if not verdict.runs:
        return {}
    found: dict[str, float | None] = {"seconds": seconds}
    for side in ("winner", "baseline"):
        outcomes = evaluator.runs.outcomes(verdict.runs[side])
        right = sum(outcome.passed is True for outcome in outcomes)
        elapsed = _elapsed(outcomes)
        found[f"{side}_s_per_attempt"] = elapsed / len(outcomes)
        found[f"{side}_s_per_right"] = elapsed / right if right else None
        found[f"{side}_goodput"] = evaluator.runs.goodput(outcomes)
    found["attempts"] = _after(seconds, found["baseline_s_per_attempt"], found["winner_s_per_attempt"])
    found["right_answers"] = _after(seconds, found["baseline_s_per_right"], found["winner_s_per_right"])
    return found


def _elapsed(outcomes: Sequence[Outcome]) -> float:
    return summarize_serving(outcomes).wall_s or 0.0


def _after(seconds: float, before: float | None, now: float | None) -> float | None:
    return seconds / (before - now) if before is not None and now is not None and before > now else None
