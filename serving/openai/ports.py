"""The protocols of the engine and its tokenizer that the HTTP server uses."""

from collections.abc import Mapping
from typing import Any, Protocol

from serving.core import EngineStats, Request
from serving.openai.grammar import GrammarTokenizer


class Tokenizer(GrammarTokenizer, Protocol):
    """The model's tokenizer."""

    @property
    def hf(self) -> Any: ...
    @property
    def chat_template(self) -> str | None: ...
    @property
    def bos_token(self) -> str | None: ...
    @property
    def eos_token(self) -> str | None: ...
    def encode(self, text: str, add_special: bool = False) -> list[int]: ...
    def token_bytes(self, token_id: int) -> bytes: ...


class Engine(Protocol):
    """The engine. Its methods are thread-safe.

    `submit` raises ValueError for a request that can't run (`PromptTooLong` if its prompt is too long), and
    `EngineOverloaded`; both errors are in `serving.core`.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def max_model_len(self) -> int: ...
    @property
    def model_facts(self) -> Mapping[str, int]: ...
    def submit(self, request: Request) -> None: ...
    def abort(self, request_id: str) -> None: ...
    def stats(self) -> EngineStats: ...
