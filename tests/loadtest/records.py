"""Records made by hand, times in milliseconds."""

from typing import Any

from agentbench.loadtest.record import Record

MS = 1_000_000


def record(index: int = 0, *, sent: float = 0, chunks: tuple[float, ...] = (100, 110, 120), **other: Any) -> Record:
    """Answered with one token a chunk, unless `other` says something else."""
    last = chunks[-1] if chunks else sent + 1
    given: dict[str, Any] = {
        "index": index,
        "session": index,
        "turn": 0,
        "warmup": False,
        "intended_at": round(other.pop("intended", sent) * MS),
        "sent_at": round(sent * MS),
        "ended_at": round(other.pop("ended", last) * MS),
        "chunk_at": tuple(round(at * MS) for at in chunks),
        "chunk_tokens": (1,) * len(chunks),
        "counted": True,
        "asked_prompt_tokens": None,
        "asked_output_tokens": None,
        "prompt_tokens": 10,
        "cached_tokens": 0,
        "completion_tokens": len(chunks),
        "tokens_assumed": False,
        "finish_reason": "length",
        "status": 200,
        "retries": 0,
        "digest": "",
        "error": None,
        "detail": "",
    }
    return Record(**given | other)
