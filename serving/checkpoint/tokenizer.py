"""Tokenizers: text to token ids and back, by Hugging Face `tokenizers`; also for SentencePiece BPE models."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers

from serving.checkpoint.hugging_face import read_json, read_text
from serving.core import ModelLoadError

SPACE = "\u2581"  # stands for a space within a piece


def sentence_piece(
    vocabulary: dict[str, int], merges: Sequence[tuple[str, str]], *, unknown: str | None, space_prefix: bool
) -> tokenizers.Tokenizer:
    """A SentencePiece BPE tokenizer. It merges the text without splitting it into words first. A character that is in
    no piece becomes the tokens of its bytes."""
    hf = tokenizers.Tokenizer(
        models.BPE(vocabulary, list(merges), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    marks = normalizers.Replace(" ", SPACE)
    hf.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), marks]) if space_prefix else marks
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    hf.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if space_prefix else steps)
    return hf


def merges_by_score(scores: dict[str, float]) -> list[tuple[str, str]]:
    """The merges in order of priority: SentencePiece merges the pair whose piece has the highest score first.

    Pairs of equal score are merged from left to right. `scores` has the scores of the merged pieces and of the single
    characters.
    """
    ranked = sorted(scores, key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")
_MOST_IDS = 2**22
# Tokens that end a turn of a chat model, even if the metadata name only another end of sequence.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "<|end|>")


class Tokenizer:
    """A vocabulary with its chat template. Threads may share it.

    `hf` is the wrapped tokenizer. `eos_ids` are all tokens that end a generation. The template is in Jinja2.
    """

    def __init__(
        self,
        hf: tokenizers.Tokenizer,
        *,
        eos_ids: Iterable[int] = (),
        bos_id: int | None = None,
        chat_template: str | None = None,
    ) -> None:
        """`ModelLoadError` for invalid ids and for a template that is no text."""
        self.hf = hf
        self._literal = _literal(hf)
        self.vocab_size: int = hf.get_vocab_size()
        ends = list(eos_ids)
        _check(hf, self.vocab_size, [*ends, *([] if bos_id is None else [bos_id])], chat_template)
        added = hf.get_added_tokens_decoder()
        self.special_ids = frozenset(id_ for id_, token in added.items() if token.special)
        self.eos_ids = frozenset(ends) | self.special_ids.intersection(self._ids_of(_TURN_ENDS))
        self.bos_id = bos_id
        self.bos_token: str | None = None if bos_id is None else hf.id_to_token(bos_id)
        self.eos_token: str | None = hf.id_to_token(ends[0]) if ends else None
        self.chat_template = chat_template
        self._bytes = _all_token_bytes(hf, {id_: token.content for id_, token in added.items()})

    def encode(self, text: str, add_special: bool = False) -> list[int]:
        """The ids of the text. Special tokens in the text are recognized. `add_special` adds the beginning-of-sequence
        token if the model has one."""
        ids: list[int] = self.hf.encode(text, add_special_tokens=add_special).ids
        return ids

    def encode_literal(self, text: str) -> list[int]:
        """The ids of the text. A special token in the text is encoded as ordinary text."""
        ids: list[int] = self._literal.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of the ids. Bytes that are not valid UTF-8 become U+FFFD."""
        skipped = self.special_ids if skip_special else frozenset()
        return b"".join(self.token_bytes(i) for i in ids if i not in skipped).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token, possibly a part of a character; empty for an id that the vocabulary lacks."""
        return self._bytes[token_id] if token_id < len(self._bytes) else b""

    def _ids_of(self, tokens: Iterable[str]) -> set[int]:
        """The ids of those tokens that the vocabulary has."""
        return {id_ for token in tokens if (id_ := self.hf.token_to_id(token)) is not None}


def _literal(hf: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The tokenizer without special tokens. Both share the vocabulary and the merges, which are tens of megabytes."""
    literal = tokenizers.Tokenizer(hf.model)
    for part in ("normalizer", "pre_tokenizer"):
        if (value := getattr(hf, part)) is not None:
            setattr(literal, part, value)
    added = hf.get_added_tokens_decoder()
    for _, token in sorted(added.items()):
        (literal.add_special_tokens if token.special else literal.add_tokens)([token])
    if literal.get_added_tokens_decoder() != added:  # ids with gaps, which adding does not give
        literal = tokenizers.Tokenizer.from_str(hf.to_str())
    literal.encode_special_tokens = True
    return literal


def _check(hf: tokenizers.Tokenizer, size: int, special_ids: list[Any], chat_template: object) -> None:
    """`ModelLoadError` for a token id of 2**22 or more, for a beginning or end of sequence that the vocabulary lacks,
    and for a template that is no text."""
    highest = max(hf.get_vocab().values(), default=-1)
    if highest >= _MOST_IDS:
        raise ModelLoadError(f"the tokenizer has token id {highest}; at most {_MOST_IDS - 1} was expected.")
    for id_ in special_ids:
        if type(id_) is not int or not 0 <= id_ <= max(highest, size - 1):
            raise ModelLoadError(f"the beginning or end of a text is token {id_!r:.60}, which the vocabulary lacks.")
    if chat_template is not None and not isinstance(chat_template, str):
        raise ModelLoadError(f"the chat template is {chat_template!r:.60}; a text was expected.")


def directory_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a directory: tokenizer.json, with the JSON files and the chat template next to it.

    `ModelLoadError` for missing or invalid files.
    """
    try:
        return _directory_tokenizer(path)
    except ModelLoadError as error:
        raise (error if str(path) in str(error) else ModelLoadError(f"{path}: {error}")) from error.__cause__
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelLoadError(
            f"{path}: the tokenizer's files are not understood ({detail}); fetch them again."
        ) from error


def _directory_tokenizer(path: Path) -> Tokenizer:
    file = path / "tokenizer.json"
    read_json(file)
    try:
        hf = tokenizers.Tokenizer.from_file(str(file))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the binding raises plain Exception, and its panics derive from BaseException
        raise ModelLoadError(f"{file}: not a tokenizer ({error}); fetch the model again.") from error
    settings = _optional_json(path / "tokenizer_config.json")
    eos_ids = _eos_ids(path) or _token_ids(hf, settings.get("eos_token"))
    return Tokenizer(
        hf,
        eos_ids=eos_ids,
        bos_id=next(iter(_token_ids(hf, settings.get("bos_token"))), None),
        chat_template=_chat_template(path, settings),
    )


def _eos_ids(path: Path) -> list[int]:
    for name in ("generation_config.json", "config.json"):
        ids = _optional_json(path / name).get("eos_token_id")
        if ids is not None:
            return [ids] if isinstance(ids, int) else list(ids)
    return []


def _token_ids(hf: tokenizers.Tokenizer, token: str | dict[str, Any] | None) -> list[int]:
    """The id of a token from tokenizer_config.json, as a list; empty where the file names none."""
    content = token.get("content") if isinstance(token, dict) else token
    id_ = None if content is None else hf.token_to_id(content)
    return [] if id_ is None else [id_]


def _chat_template(path: Path, settings: dict[str, Any]) -> str | None:
    file = path / "chat_template.jinja"
    if file.exists():
        return read_text(file)
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _all_token_bytes(hf: tokenizers.Tokenizer, added: dict[int, str]) -> list[bytes]:
    """The bytes of each id. Added tokens are literal text. Others are byte-level if the decoder is, else SentencePiece
    pieces."""
    to_bytes = _byte_level if b'"ByteLevel"' in _decoder_of(hf) else _sentence_piece
    result = [b""] * hf.get_vocab_size()
    for token, id_ in hf.get_vocab().items():
        if id_ >= len(result):
            result += [b""] * (id_ + 1 - len(result))
        result[id_] = added[id_].encode() if id_ in added else to_bytes(token)
    return result


def _decoder_of(hf: tokenizers.Tokenizer) -> bytes:
    """The decoder as JSON; empty if there is none."""
    state: bytes = b"" if hf.decoder is None else hf.decoder.__getstate__()
    return state


def _byte_level(token: str) -> bytes:
    return bytes(_BYTE_OF[char] for char in token) if all(c in _BYTE_OF for c in token) else token.encode()


def _sentence_piece(token: str) -> bytes:
    """The bytes of a piece: `<0x0A>` stands for a byte, U+2581 for a space."""
    if token.startswith("<0x") and (byte := _BYTE_TOKEN.fullmatch(token)):
        return bytes.fromhex(byte[1])
    return token.replace(SPACE, " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable character for each byte, by character: the byte's own or, for an unprintable byte, the next
    from U+0100 on."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
