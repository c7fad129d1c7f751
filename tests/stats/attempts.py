"""Attempts and outcomes with given verdicts and times, for the statistics' tests."""

from agentbench.core.attempt import Attempt
from agentbench.core.trace import Failure, ModelCall, Trace
from agentbench.stats.outcomes import Outcome, outcome_of

MS = 1_000_000


def a_call(sent: int = 0, chunks: tuple[int, ...] = (), tokens: int | None = None, **changes: object) -> ModelCall:
    """Times in milliseconds."""
    values = {
        "messages": (),
        "request": {},
        "reply": {"role": "assistant", "content": "x"},
        "finish_reason": "stop",
        "intended_at": sent * MS,
        "sent_at": sent * MS,
        "ended_at": (chunks[-1] if chunks else sent) * MS,
        "chunk_at": tuple(chunk * MS for chunk in chunks),
        "completion_tokens": tokens,
    }
    return ModelCall(**values | changes)  # type: ignore[arg-type]


def an_attempt(
    case_id: str,
    passed: bool | None = True,
    *,
    repeat: int = 0,
    cluster: str = "",
    calls: tuple[ModelCall, ...] = (),
    start: int = 0,
    end: int = 1000,
    anchor: int = 0,
    failure: Failure | None = None,
) -> Attempt:
    """Times in milliseconds; an attempt without a verdict is an infra failure."""
    if passed is None and failure is None:
        failure = Failure(kind="infra", message="refused")
    return Attempt(
        case_id=case_id,
        cluster=cluster or case_id,
        repeat=repeat,
        seed=0,
        tries=1,
        started_at=start * MS,
        ended_at=end * MS,
        wall_anchor_ns=anchor * MS,
        trace=Trace(steps=calls),
        failure=failure,
        passed=None if failure else passed,
    )


def an_outcome(case_id: str, passed: bool | None = True, *, repeat: int = 0, cluster: str = "") -> Outcome:
    """One without a verdict is an infra failure."""
    return outcome_of(an_attempt(case_id, passed, repeat=repeat, cluster=cluster))


def verdicts(text: str, cluster_size: int = 1) -> list[Outcome]:
    """One outcome a case from a string such as "110f": right, right, wrong, failed."""
    found = {"1": True, "0": False, "f": None}
    return [an_outcome(f"c{i:03}", found[letter], cluster=f"k{i // cluster_size}") for i, letter in enumerate(text)]
