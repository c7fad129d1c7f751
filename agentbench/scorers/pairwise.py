"""Scorer that asks a model which of two answers is better: the agent's, or one it is held against."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from agentbench.case import Case
from agentbench.errors import AttemptError, UserError
from agentbench.protocols import Backend
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.expected import expected_of
from agentbench.scorers.judge_model import JudgeModel, JudgeModelOptions
from agentbench.scorers.judge_prompt import as_text, filled, parts
from agentbench.trace import Trace

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
    """Which answer is better; the reason comes first, so that the preference follows from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    better: Literal["A", "B", "tie"]


class PairwiseConfig(BaseModel):
    """Options of the `pairwise` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rubric: str = Field(RUBRIC, min_length=1, description="What makes an answer better.")
    run: str | None = Field(None, description="Hold against this run's answers; against `expected` by default.")
    pass_at: Literal["win", "tie"] = Field("tie", description="Whether being as good as the other answer passes.")
    max_chars: int = Field(12_000, ge=100, description="Longest part shown, cut in the middle.")
    model: JudgeModelOptions = Field(JudgeModelOptions(), description="Which model judges, and how it is asked.")


class PairwiseScorer:
    """1 when the judge prefers the agent's answer wherever it stands, 0 when it prefers the other, else 0.5.

    The judge is asked twice with the answers changed about: one that goes by position gives a tie.
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
        asked = (self._ask(shown["input"], *pair) for pair in ((ours, other), (other, ours)))
        first, second = await asyncio.gather(*asked)
        value = _value(first.better, second.better)
        passed = value == 1.0 or (value == 0.5 and self._config.pass_at == "tie")
        outcome = {1.0: "better", 0.5: "as good", 0.0: "worse"}[value]
        reason = f"{outcome} (first: {first.better}, changed about: {second.better}): {first.reason}"
        return Score(name=self.name, value=value, passed=passed, reason=reason)

    async def _ask(self, asked: str, a: str, b: str) -> Preference:
        material = {"input": asked, "A": a, "B": b}
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
    """`first` was given with our answer as A, `second` with ours as B."""
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5
