"""Scorer of a final text that should mean the same as another."""

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.case import Case
from agentbench.credentials import StorableUrl
from agentbench.errors import AttemptError, UserError
from agentbench.score import Score
from agentbench.scorers.brief import brief
from agentbench.scorers.embedding import make_embedding
from agentbench.scorers.expected import expected_of
from agentbench.trace import Trace


class SemanticConfig(BaseModel):
    """Options of the `semantic` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding: StorableUrl = Field(
        "ngrams",
        description="ngrams (built in), minilm (a small local model), package.module:function, or a URL up to /v1.",
    )
    model: str | None = Field(None, description="The server's model; the first that it lists by default.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the server's key.")
    threshold: float = Field(0.8, ge=-1, le=1, description="Least cosine that passes.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            make_embedding(self.embedding, self.model, self.api_key_env)
        except ValueError as error:
            raise ValueError(f"embedding {self.embedding!r}: {error}") from None
        return self


class SemanticScorer:
    """Passes when the cosine of the final text and `expected` (the nearest, of a list) is at least the threshold.

    The value is that cosine, 0 where it is negative. A context: a model is loaded once for a run.
    """

    Config = SemanticConfig
    name: str = "semantic"

    def __init__(self, config: SemanticConfig) -> None:
        self._threshold = config.threshold
        self._embedding = make_embedding(config.embedding, config.model, config.api_key_env)

    async def __aenter__(self) -> Self:
        await self._embedding.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._embedding.close()

    def check(self, case: Case) -> None:
        self._accepted(case)

    async def score(self, case: Case, trace: Trace) -> Score:
        accepted = self._accepted(case)
        output = _encodable(trace.answer)
        cosine, nearest = await self._nearest(output, accepted)
        passed = cosine >= self._threshold
        reason = f"cosine {cosine:.3f} with {brief(nearest)}, at least {self._threshold:g} passes"
        return Score(name=self.name, value=min(1.0, max(0.0, cosine)), passed=passed, reason=reason)

    def _accepted(self, case: Case) -> list[str]:
        expected = expected_of(case, self.name, "semantic")
        texts = expected if isinstance(expected, list) else [expected]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(f"case {case.id!r}: expected = {brief(expected)}; semantic needs a text or a list of texts")
        return [text.strip() for text in texts]

    async def _nearest(self, output: str, accepted: Sequence[str]) -> tuple[float, str]:
        if output.strip() in accepted:
            return 1.0, output.strip()
        first, *others = await self._embedding([output, *accepted])
        found = [(_cosine(first, other), text) for other, text in zip(others, accepted, strict=True)]
        return max(found, key=lambda each: each[0])


def _encodable(text: str) -> str:
    """Without lone surrogates, which neither a tokenizer nor a server takes."""
    return text.encode("utf-8", "replace").decode()


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """0 for a vector without length (a text without words)."""
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    found = sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0
    if not math.isfinite(found):
        raise AttemptError("grader", "the embedding gave numbers that are not finite")
    return found
