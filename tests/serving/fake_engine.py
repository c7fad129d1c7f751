"""An engine with fixed answers, for tests of the HTTP layer without a model."""

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from serving.checkpoint.tokenizer import _BYTE_OF
from serving.core import EngineStats, FinishReason, Request, TokenDelta, TokenLogprob


class ByteTokenizer:
    """One token for each byte, and one for the end of sequence."""

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
        self.eos_ids: tuple[int, ...] = (int(self.hf.token_to_id(self.eos_token) or 0),)

        self.special_ids: tuple[int, ...] = self.eos_ids
        self._literal = Tokenizer.from_str(self.hf.to_str())
        self._literal.encode_special_tokens = True
        self._bytes = [bytes([_BYTE_OF[character]]) for character in vocabulary] + [self.eos_token.encode()]

    def encode(self, text: str, add_special: bool = False) -> list[int]:
        ids: list[int] = self.hf.encode(text).ids
        return ids

    def encode_literal(self, text: str) -> list[int]:
        return list(self._literal.encode(text).ids)

    def token_bytes(self, token_id: int) -> bytes:
        return self._bytes[token_id]


class FakeEngine:
    """Answers every request with `pieces`, one per step; the last has `finish_reason`. Without pieces it never answers.

    A piece has a token for each byte. An empty piece is one token whose text is held back. Each of the n answers
    gets all pieces.
    """

    def __init__(self, *pieces: str, finish_reason: FinishReason = "stop", error: str | None = None) -> None:
        self.tokenizer = ByteTokenizer()
        self.max_model_len = 2000
        self.model_facts = {"num_parameters": 12, "num_layers": 3}
        self.pieces = pieces
        self.finish_reason = finish_reason
        self.error = error
        self.refusal: Exception | None = None
        self.requests: list[Request] = []
        self.aborted: list[str] = []
        self.resets = 0
        self.unfinished = False  # whether more may come after the pieces
        self.load = EngineStats(blocks_free=10, blocks_total=10)

    def submit(self, request: Request) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        counts = [0] * request.params.n
        for count, piece in enumerate(self.pieces, 1):
            for index in range(request.params.n):
                last = count == len(self.pieces) and not self.unfinished
                delta = self._delta(request, index, piece, counts[index], last=last)
                counts[index] = delta.completion_tokens
                request.on_delta(delta)

    def _delta(self, request: Request, index: int, piece: str, before: int, *, last: bool) -> TokenDelta:
        token_ids = self.tokenizer.encode(piece) or ([] if self.error and last else [0])
        return TokenDelta(
            text=piece,
            token_ids=tuple(token_ids),
            prompt_tokens=len(request.prompt_ids),
            cached_tokens=3,
            completion_tokens=before + len(token_ids),
            index=index,
            logprobs=tuple(_logprob(token, request.params.logprobs) for token in token_ids),
            finish_reason=self.finish_reason if last else None,
            error=self.error if last else None,
        )

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)

    def reset_prefix_cache(self) -> None:
        self.resets += 1

    def stats(self) -> EngineStats:
        return self.load


def refusal(error: str) -> TokenDelta:
    """The last delta of a request that the engine aborts with an error."""
    return TokenDelta(
        text="",
        token_ids=(),
        prompt_tokens=5,
        cached_tokens=0,
        completion_tokens=0,
        finish_reason="abort",
        error=error,
    )


def _logprob(token: int, alternatives: int | None) -> TokenLogprob:
    """The token at -0.5, and those after it at -1.5, -2.5 and so on."""
    top = [((token + more) % 256, -0.5 - more) for more in range(alternatives or 0)]
    return TokenLogprob(token_id=token, logprob=-0.5, top=tuple(top))
