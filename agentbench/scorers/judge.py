"""Scorers that ask a model: `judge`, whether an answer meets a rubric, and `pairwise`, which of two answers is better.

`pairwise` compares the agent's answer with a reference or with another run's answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.protocols import Backend
from agentbench.core.trace import Trace
from agentbench.scorers.expected import brief, expected_of
from agentbench.scorers.judge_model import JudgeModel, JudgeModelOptions, as_text, filled, parts, unknown_placeholders

PLACEHOLDERS = {"rubric", "input", "output", "expected", "tool_calls"}

TEMPLATE = """\
Rubric:
{rubric}

What the agent was asked:
{input}

The tools it called:
{tool_calls}

Its answer, which is to be graded:
{output}

The answer that is known to be right:
{expected}"""

SYSTEM = {
    "binary": "You grade the answer of an AI agent by a rubric. Give your reason in at most three sentences, then the"
    ' verdict: "pass" when the answer meets the rubric, "fail" when it does not.',
    "1-5": "You grade the answer of an AI agent by a rubric. Give your reason in at most three sentences, then the"
    " score: 5 meets the rubric fully, 4 with a slip that does no harm, 3 in part, 2 hardly, 1 not at all.",
}


class PassOrFail(BaseModel):
    """A binary verdict. The reason comes first, so that the verdict follows from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    verdict: Literal["pass", "fail"]

    @property
    def points(self) -> float:
        return float(self.verdict == "pass")


class OneToFive(BaseModel):
    """A verdict on a scale. The reason comes first, as in `PassOrFail`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    score: Literal[1, 2, 3, 4, 5]

    @field_validator("score", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # Python treats True as 1
            raise ValueError("expected a number from 1 to 5")
        return value

    @property
    def points(self) -> float:
        return float(self.score)


Verdict = PassOrFail | OneToFive


class JudgeConfig(BaseModel):
    """Options of the `judge` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rubric: str = Field("", description="What a good answer is.")
    rubric_file: str | None = Field(None, description="A file beside the suite with the rubric.")
    scale: Literal["binary", "1-5"] = Field("binary", description="Pass or fail, or points from 1 to 5.")
    pass_at: float = Field(4.0, ge=1, le=5, description="Least mean that passes, on the scale from 1 to 5.")
    votes: int = Field(1, ge=1, description="Number of verdicts by the judge; binary passes by more than half of them.")
    template: str = Field(TEMPLATE, description="The judge's prompt; it must contain {output}.")
    max_chars: int = Field(
        12_000, ge=100, description="Limit of each part in characters; longer ones are cut in the middle."
    )
    model: JudgeModelOptions = Field(JudgeModelOptions(), description="The model that judges, and its settings.")

    @field_validator("template")
    @classmethod
    def _placeholders(cls, value: str) -> str:
        if unknown := unknown_placeholders(value, PLACEHOLDERS):
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; valid: {', '.join(sorted(PLACEHOLDERS))}")
        if "{output}" not in value:
            raise ValueError("{output} is missing, so the judge would not see the answer")
        return value

    @model_validator(mode="after")
    def _check_rubric_and_votes(self) -> Self:
        if bool(self.rubric.strip()) == (self.rubric_file is not None):
            raise ValueError("the judge needs a rubric or a rubric_file, one of them")
        if self.votes > 1 and self.model.temperature == 0:
            raise ValueError("votes at temperature 0 are all the same; set model.temperature, for example to 0.7")
        return self


class JudgeScorer:
    """Passes when the judge's verdict does. A judge without a verdict is a grader failure, never a score of 0.

    The value is the share of passing votes, or the mean points scaled to [0, 1].
    """

    Config = JudgeConfig
    name: str = "judge"

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._rubric = config.rubric
        self._model = JudgeModel(config.model)
        self._verdict: type[Verdict] = PassOrFail if config.scale == "binary" else OneToFive

    def use(self, backend: Backend) -> None:
        self._model.use(backend)

    def use_root(self, root: Path) -> None:
        if self._config.rubric_file is None:
            return
        path = root / self._config.rubric_file
        try:
            self._rubric = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.name}: rubric_file = {self._config.rubric_file!r} can't be read: {error}") from None

    async def __aenter__(self) -> Self:
        await self._model.open(self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._model.close()

    async def score(self, case: Case, trace: Trace) -> Score:
        material = parts(case, trace, self.name, "judge")
        shown, guard = filled(self._config.template, material, {"rubric": self._rubric}, self._config.max_chars)
        messages = (
            {"role": "system", "content": f"{SYSTEM[self._config.scale]} {guard}"},
            {"role": "user", "content": shown},
        )
        requests = (self._model.ask(messages, self._verdict, vote) for vote in range(self._config.votes))
        return self._of(await asyncio.gather(*requests))

    def _of(self, verdicts: Sequence[Verdict]) -> Score:
        points = fmean(verdict.points for verdict in verdicts)
        if self._config.scale == "binary":
            passed, value = points > 0.5, points
        else:
            passed, value = points >= self._config.pass_at, (points - 1) / 4
        nearest = min(verdicts, key=lambda verdict: abs(verdict.points - points))
        return Score(name=self.name, value=value, passed=passed, reason=self._counted(verdicts) + nearest.reason)

    def _counted(self, verdicts: Sequence[Verdict]) -> str:
        points = ", ".join(f"{verdict.points:g}" for verdict in verdicts)
        if self._config.scale == "1-5":
            return f"{points} of 5: "
        passing = sum(verdict.points > 0 for verdict in verdicts)
        return f"{passing} of {len(verdicts)} votes pass: " if len(verdicts) > 1 else ""


PAIR_TEMPLATE = """\
What counts:
{rubric}

What was asked:
{input}

Answer A:
{A}

Answer B:
{B}"""

PAIR_SYSTEM = (
    "You compare two answers to one request. Neither their order nor their length counts for or against them. Give"
    ' your reason in at most three sentences, then which is better: "A", "B", or "tie" when neither is.'
)

RUBRIC = "The better answer is correct, does what was asked, and is no longer than it has to be."


class Preference(BaseModel):
    """The better answer. The reason comes first, so that the preference follows from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    better: Literal["A", "B", "tie"]


class PairwiseConfig(BaseModel):
    """Options of the `pairwise` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rubric: str = Field(RUBRIC, min_length=1, description="What makes an answer better.")
    run: str | None = Field(None, description="Compare with this run's answers; with `expected` by default.")
    pass_at: Literal["win", "tie"] = Field("tie", description="Whether an answer that is as good as the other passes.")
    max_chars: int = Field(
        12_000, ge=100, description="Limit of each part in characters; longer ones are cut in the middle."
    )
    model: JudgeModelOptions = Field(JudgeModelOptions(), description="The model that judges, and its settings.")


class PairwiseScorer:
    """1 when the judge prefers the agent's answer in both positions, 0 when it prefers the other one in both, otherwise
    0.5.

    The judge is asked twice, with the answers swapped: a judge that decides by position gives a tie.
    """

    Config = PairwiseConfig
    name: str = "pairwise"

    def __init__(self, config: PairwiseConfig) -> None:
        self._config = config
        self._model = JudgeModel(config.model)
        self._answers: Mapping[str, Sequence[str]] = {}
        self.answers_of = config.run

    def use(self, backend: Backend) -> None:
        self._model.use(backend)

    def use_answers(self, answers: Mapping[str, Sequence[str]]) -> None:
        self._answers = answers

    async def __aenter__(self) -> Self:
        await self._model.open(self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._model.close()

    def check(self, case: Case) -> None:
        if self.answers_of is None:
            self._expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        shown = parts(case, trace)
        ours, other = shown["output"], self._reference(case)
        requests = (self._ask(shown["input"], *pair) for pair in ((ours, other), (other, ours)))
        first, second = await asyncio.gather(*requests)
        value = _value(first.better, second.better)
        passed = value == 1.0 or (value == 0.5 and self._config.pass_at == "tie")
        outcome = {1.0: "better", 0.5: "as good", 0.0: "worse"}[value]
        reason = f"{outcome} (first order: {first.better}, swapped: {second.better}): {first.reason}"
        return Score(name=self.name, value=value, passed=passed, reason=reason)

    async def _ask(self, question: str, a: str, b: str) -> Preference:
        material = {"input": question, "A": a, "B": b}
        shown, guard = filled(PAIR_TEMPLATE, material, {"rubric": self._config.rubric}, self._config.max_chars)
        system = {"role": "system", "content": f"{PAIR_SYSTEM} {guard}"}
        return await self._model.ask((system, {"role": "user", "content": shown}), Preference)

    def _reference(self, case: Case) -> str:
        if self.answers_of is not None:
            answers = self._answers.get(case.id)
            if not answers:
                raise AttemptError("grader", f"run {self.answers_of} has no answer of case {case.id!r}")
            return answers[0]
        return as_text(self._expected(case))

    def _expected(self, case: Case) -> Any:
        expected = expected_of(case, self.name, "pairwise")
        if expected is None or (isinstance(expected, str) and not expected.strip()):
            raise UserError(f"case {case.id!r}: expected = {brief(expected)}; pairwise needs an answer there, or run")
        return expected


def _value(first: str, second: str) -> float:
    """The agent's answer was A in `first`, and B in `second`."""
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5
