"""The `facts` scorer: facts that a text must cover, and inventions that it must avoid."""

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
        "f1",
        description="recall: share of the facts covered; precision: share of the stated facts that are not invented.",
    )
    at_least: float = Field(1.0, ge=0, le=1, description="The value that passes.")


def _checked(pattern: str) -> str:
    compiled(pattern, ignore_case=True)
    return pattern


Pattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression that is in some texts and not in others."""


class Fact(BaseModel):
    """A statement that the text should contain: one of the patterns matches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str
    accept: tuple[Pattern, ...] = Field(min_length=1)


class Invention(BaseModel):
    """A plausible but false statement. It does not count when `unless` matches too: a text may mention an old value
    beside the current one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str
    pattern: Pattern
    unless: Pattern | None = None


class Facts(BaseModel):
    """The keys of `expected`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: tuple[Fact, ...] = Field(min_length=1)
    false: tuple[Invention, ...] = ()


class FactsScorer:
    """Searches the final text for each fact and each invention of `expected`.

    Patterns are regular expressions; case is ignored, and any white space counts as one space.
    """

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
        coverage = f"{covered} of {len(expected.facts)} facts covered{_listed(', without', missed)}"
        reason = f"{coverage}; {len(invented)} invented{_listed(':', invented)}"
        return Score(name=self.name, value=value, passed=value >= self._config.at_least, reason=reason)

    def _expected(self, case: Case) -> Facts:
        found = expected_of(case, self.name, "facts")
        document = found if isinstance(found, Mapping) else case.expected
        if not isinstance(document, Mapping):
            raise UserError(f"case {case.id!r}: expected = {brief(document)}; facts needs {SHAPE}")
        try:
            return validate(Facts, document, lambda location: f"case {case.id!r}", ("expected",))
        except UserError as error:
            raise UserError(f"{error} facts needs {SHAPE}") from None


def _measures(covered: int, missed: int, invented: int) -> Mapping[str, float]:
    """Coverage and precision. A text without statements invents nothing: its precision is 1."""
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
