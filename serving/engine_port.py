"""The engine as the HTTP layer sees it."""

from collections.abc import Mapping
from typing import Protocol

from serving.engine_stats import EngineStats
from serving.grammar import GrammarTokenizer
from serving.request import Request


class Tokenizer(GrammarTokenizer, Protocol):
    """What the HTTP layer needs of the model's tokenizer."""

    @property
    def chat_template(self) -> str | None: ...
    @property
    def bos_token(self) -> str | None: ...
    @property
    def eos_token(self) -> str | None: ...
    def encode(self, text: str, add_special: bool = False) -> list[int]: ...


class Engine(Protocol):
    """The engine's thread. `submit` raises `PromptTooLong` and `EngineOverloaded` of `serving.engine`."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def max_model_len(self) -> int: ...
    @property
    def model_facts(self) -> Mapping[str, int]: ...
    def submit(self, request: Request) -> None: ...
    def abort(self, request_id: str) -> None: ...
    def stats(self) -> EngineStats: ...
