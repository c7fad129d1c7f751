"""Scorer of the facts in a text: those it must cover, and those it must not invent."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.trace import Trace
from agentbench.scorers.expected import brief, compiled, expected_of
from agentbench.suite.validation import validate

SHAPE = '{"facts": [{"fact": …, "accept": [pattern, …]}, …], "false": [{"fact": …, "pattern": …, "unless": …}, …]}'


class FactsConfig(BaseModel):
    """Options of the `facts` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Literal["f1", "recall", "precision"] = Field(
        "f1", description="recall: share of the facts covered; precision: share of what is said that is no invention."
    )
    at_least: float = Field(1.0, ge=0, le=1, description="The value that passes.")


def _checked(pattern: str) -> str:
    compiled(pattern, ignore_case=True)
    return pattern


Pattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression that is in some texts and not in others."""


class Fact(BaseModel):
    """Something that the text should say: one of the patterns is in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str
    accept: tuple[Pattern, ...] = Field(min_length=1)


class Invention(BaseModel):
    """Something plausible that is not so. It is not said where `unless` is in the text too: a value that was changed
    may be told of beside the one that holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str
    pattern: Pattern
    unless: Pattern | None = None


class Facts(BaseModel):
    """What `expected` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: tuple[Fact, ...] = Field(min_length=1)
    false: tuple[Invention, ...] = ()


class FactsScorer:
    """Looks for each fact and each invention of `expected` in the final text; patterns are regular expressions,
    upper and lower case are one, and any white space is a space."""

    Config = FactsConfig
    name: str = "facts"

    def __init__(self, config: FactsConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        self._expected(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        expected = self._expected(case)
        text = " ".join(trace.answer.split())
        missed = [each.fact for each in expected.facts if not any(_in(p, text) for p in each.accept)]
        invented = [each.fact for each in expected.false if _invented(each, text)]
        covered = len(expected.facts) - len(missed)
        value = _measures(covered, len(missed), len(invented))[self._config.measure]
        said = f"{covered} of {len(expected.facts)} facts covered{_listed(', without', missed)}"
        reason = f"{said}; {len(invented)} invented{_listed(':', invented)}"
        return Score(name=self.name, value=value, passed=value >= self._config.at_least, reason=reason)

    def _expected(self, case: Case) -> Facts:
        found = expected_of(case, self.name, "facts")
        given = found if isinstance(found, Mapping) else case.expected
        if not isinstance(given, Mapping):
            raise UserError(f"case {case.id!r}: expected = {brief(given)}; facts needs {SHAPE}")
        try:
            return validate(Facts, given, lambda location: f"case {case.id!r}", ("expected",))
        except UserError as error:
            raise UserError(f"{error} facts needs {SHAPE}") from None


def _measures(covered: int, missed: int, invented: int) -> Mapping[str, float]:
    """A text that says nothing has invented nothing: its precision is 1."""
    return {
        "recall": covered / (covered + missed),
        "precision": covered / (covered + invented) if covered + invented else 1.0,
        "f1": 2 * covered / (2 * covered + missed + invented),
    }


def _invented(each: Invention, text: str) -> bool:
    return _in(each.pattern, text) and not (each.unless and _in(each.unless, text))


def _in(pattern: str, text: str) -> bool:
    return compiled(pattern, ignore_case=True).search(text) is not None


def _listed(word: str, items: Sequence[Any]) -> str:
    return f"{word} {'; '.join(map(str, items))}" if items else ""
