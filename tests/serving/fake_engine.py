"""An engine that says what it is told to, for tests of the HTTP layer without a model."""

from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from serving.request import FinishReason, Request, TokenDelta


class ByteTokenizer:
    """One token a byte, and an end."""

    chat_template: str | None = None
    bos_token = ""
    eos_token = "<eos>"

    def __init__(self) -> None:
        vocabulary = {character: i for i, character in enumerate(sorted(ByteLevel.alphabet()))}
        self.hf = Tokenizer(BPE(vocab=vocabulary, merges=[]))
        self.hf.pre_tokenizer = ByteLevel(add_prefix_space=False)
        self.hf.decoder = ByteLevelDecoder()
        self.hf.add_special_tokens([self.eos_token])
        self.vocab_size = self.hf.get_vocab_size()
        self.eos_ids = (self.hf.token_to_id(self.eos_token),)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.hf.encode(text).ids
        return ids


@dataclass(frozen=True, slots=True)
class Load:
    running: int = 0
    waiting: int = 0
    blocks_free: int = 10
    blocks_total: int = 10


class FakeEngine:
    """Answers every request with `pieces`, one a step, the last with `finish_reason`; with none, never."""

    def __init__(self, *pieces: str, finish_reason: FinishReason = "stop", error: str | None = None) -> None:
        self.tokenizer = ByteTokenizer()
        self.max_model_len = 2000
        self.pieces = pieces
        self.finish_reason = finish_reason
        self.error = error
        self.refusal: Exception | None = None
        self.requests: list[Request] = []
        self.aborted: list[str] = []

    def submit(self, request: Request) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        for count, piece in enumerate(self.pieces, 1):
            last = count == len(self.pieces)
            delta = TokenDelta(
                text=piece,
                token_ids=(0,),
                prompt_tokens=len(request.prompt_ids),
                cached_tokens=3,
                completion_tokens=count,
                finish_reason=self.finish_reason if last else None,
                error=self.error if last else None,
            )
            request.on_delta(delta)

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)

    def stats(self) -> Load:
        return Load()
