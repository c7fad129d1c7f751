"""The verdict: finalists answer train again with fresh seeds; the winner is compared once with the baseline on test."""

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
"""The finals' seed is the study's seed plus this, so that no answer of the search has it."""


class Runs(Protocol):
    """The stored runs of a jury's answers."""

    def on_test(self, configuration: Configuration) -> str:
        """The id of the configuration's run on the test cases."""
        ...

    def outcomes(self, run_id: str) -> Sequence[Outcome]: ...

    def failure(self, run_id: str) -> str:
        """The run's first failure without the agent's fault, as `kind: message`."""
        ...

    def goodput(self, outcomes: Sequence[Outcome]) -> float | None:
        """Right answers per second that met the study's objectives; None when it is undefined."""
        ...

    async def in_turn(
        self, a: tuple[Configuration, str], b: tuple[Configuration, str], rounds: int
    ) -> Sequence[tuple[Figures, Figures]]:
        """Replays two stored runs' traces in turn, each on its own server; the figures of both, round by round."""
        ...


class Jury(Protocol):
    """Answers cases for a verdict."""

    @property
    def runs(self) -> Runs:
        """The stored runs of its answers."""
        ...

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        """The configuration for these settings, with the study's seed or another one."""
        ...

    async def answer(
        self,
        configuration: Configuration,
        cases: Sequence[str],
        allowance: Allowance = UNBOUNDED,
        purpose: Purpose = "search",
    ) -> Answers:
        """As `Evaluator.answer`; each purpose has its own run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision on a study.

    `winner` is a candidate's number, `settings` are its changes to the baseline. `finals` has the finalists' qualities
    on train with fresh seeds, by number. `runs` has the ids of the runs on test: `winner`, `baseline`, one for each
    reference, and `served` (the winner's agent on the baseline's server, if that can change its answers).

    `passes`, `ttft` and `tpot` are winner − baseline, paired on the test cases; times are in seconds. `references` has
    winner − reference for each of the study's references. `serving` has the ratio of each figure on the winner's server
    to that on the baseline's under the same agent, with its interval. `served_passes` is the server's effect on passes,
    empty when it can't have one. `payback` has the break-even. `nearest` is, without a winner, the candidate nearest to
    the constraints, or the one that could not be compared on test. `seconds` is the time of the verdict.
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
    """The verdict on the candidates of a search that took `seconds`.

    Raises `UserError` when every finalist breaks; the test cases are unused then.
    """
    began = monotonic()
    finalists = choose_finalists(candidates, study.file.rungs.finalists, study.file.objectives)
    if not finalists:
        return _without_winner(candidates)
    finals, breaks = await _finals(study, plan, evaluator, finalists)
    if not finals:
        raise UserError(
            f"no verdict yet: every finalist broke when it answered train again ({'; '.join(breaks)}). No test case was"
            f" used. To try again: agentbench tune --resume {study.name}"
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
    """The finalists' answers on all of train with fresh seeds, by number; and why each of the others broke."""
    found: dict[int, Answers] = {}
    breaks: list[str] = []
    for candidate in finalists:
        configuration = evaluator.configuration(candidate.settings, study.file.seed + FRESH)
        try:
            answers = await evaluator.answer(configuration, plan.rungs.order, purpose="final")
        except Broken as broken:
            breaks.append(f"candidate {candidate.number}: {broken}")
            continue
        if too_many(answers.failed, answers.attempts, plan.max_failures):
            failed = f"{answers.failed} of {answers.attempts} attempts failed"
            breaks.append(f"candidate {candidate.number}: {failed}: {answers.failure}")
            continue
        found[candidate.number] = answers
    return found, breaks


def _mean(answers: Answers) -> float:
    return sum(answers.scores.values()) / len(answers.scores) if answers.scores else 0.0


async def _on_test(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The verdict with the winner and the baseline on the test cases; stored answers are used.

    There is no winner when one of the two breaks, or when too many attempts can't be compared, since the candidate may
    be bad at just those.
    """
    if verdict.winner == BASELINE:
        return replace(verdict, notes=("no candidate is better than the baseline",))
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
        left_out = f"{passes['excluded']} of {len(baseline)} attempts on test were left out, which is more than"
        return _undecided(verdict, runs, f"{left_out} max_failures allows; they failed: {' / '.join(failures)}")
    shifts = {name: compare_latency(winner, baseline, name) for name in ("ttft", "tpot")}
    found = {name: None if shift is None else asdict(shift) for name, shift in shifts.items()}
    return replace(verdict, runs=runs, passes=passes, **found)  # type: ignore[arg-type]


def _undecided(verdict: Verdict, runs: Mapping[str, str], note: str) -> Verdict:
    """The verdict without a winner, after test cases were used."""
    return replace(verdict, winner=None, settings={}, nearest=verdict.winner, runs=runs, notes=(note,))


def _passes(a: Sequence[Outcome], b: Sequence[Outcome]) -> dict[str, Any]:
    """A − B, paired on cases. An agent's failure counts as wrong. Other failures are left out of both."""
    passes = compare_passes(agent_failures_as_wrong(a), agent_failures_as_wrong(b)).to_json()
    passes.pop("power")
    return passes


async def _with_references(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The verdict with the winner compared with each reference on the test cases."""
    for name, settings in study.file.references.items() if verdict.runs else ():
        configuration = evaluator.configuration(settings)
        try:
            await evaluator.answer(configuration, study.split.test, purpose="test")
        except Broken as broken:
            verdict = replace(verdict, notes=(*verdict.notes, f"reference {name} broke on test: {broken}"))
            continue
        run = evaluator.runs.on_test(configuration)
        passes = _passes(evaluator.runs.outcomes(verdict.runs["winner"]), evaluator.runs.outcomes(run))
        if too_many(passes["excluded"], len(study.split.test), study.file.max_failures):
            failure = f"{passes['excluded']} attempts failed: {evaluator.runs.failure(run)}"
            note = f"reference {name} can't be compared: {failure}"
            verdict = replace(verdict, notes=(*verdict.notes, note))
            continue
        verdict = replace(verdict, runs={**verdict.runs, name: run}, references={**verdict.references, name: passes})
    return verdict


async def _with_serving(study: Study, evaluator: Jury, verdict: Verdict) -> Verdict:
    """The verdict with the winner's server compared with the baseline's, by replays of traces on test in turn."""
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
    """The figures by the names that `ratios` expects: rates end in _per_s, times in _s."""
    renamed = {"goodput": "goodput_per_s", "output_tokens_per_s": "output_tokens_per_s"}
    return {renamed.get(name, f"{name}_s"): value for name, value in figures.items()}


def _payback(evaluator: Jury, study: Study, verdict: Verdict, seconds: float) -> Mapping[str, float | None]:
    """Seconds per attempt and per right answer, of winner and baseline, and the break-even.

    Break-even: attempts, or right answers, after which the time saved exceeds the study's `seconds`; None when the
    winner saves no time.
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
    found["attempts"] = _break_even(seconds, found["baseline_s_per_attempt"], found["winner_s_per_attempt"])
    found["right_answers"] = _break_even(seconds, found["baseline_s_per_right"], found["winner_s_per_right"])
    return found


def _elapsed(outcomes: Sequence[Outcome]) -> float:
    return summarize_serving(outcomes).wall_s or 0.0


def _break_even(seconds: float, before: float | None, now: float | None) -> float | None:
    """The number of attempts after which `before − now` seconds saved by each exceed `seconds`."""
    return seconds / (before - now) if before is not None and now is not None and before > now else None
