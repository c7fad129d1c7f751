"""Replays a stored run: its model calls in order, with the recorded gaps of agents and tools between them."""

from itertools import pairwise

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError
from agentbench.core.trace import ModelCall
from agentbench.loadtest.suite_prompts import LEFT_OUT, Recorded
from agentbench.loadtest.workload import Session, Turn
from agentbench.store import open_store


def stored_run(reference: str, db: str | None) -> Recorded:
    """The workload of a run: a session for each attempt, with the recorded start times relative to the first.

    A turn's gap is the time from the end of the previous call to the next one's intended send: the work of tools and
    agent. The messages are the recorded ones, so that every server gets the same whatever it answers. `UserError` when
    the store does not have the run, or the run has no model call.
    """
    with open_store(db, create=False) as store:
        run = store.get_run(reference)
        attempts = [attempt for attempt in store.attempts(run.id) if attempt.trace.served_calls]
    if not attempts:
        raise UserError(f"run {run.id} has no model call to replay")
    attempts.sort(key=_began)
    begin = _began(attempts[0])
    sessions = tuple(session_of(attempt, begin) for attempt in attempts)
    calls = sum(len(session.turns) for session in sessions)
    note = f"{calls} model calls of {len(sessions)} attempts of run {run.id}, with their own gaps between turns"
    return Recorded(recorded=sessions, note=note)


def _began(attempt: Attempt) -> int:
    """The intended send of its first call, in nanoseconds since the Unix epoch."""
    return attempt.wall_anchor_ns + attempt.trace.served_calls[0].intended_at


def session_of(attempt: Attempt, begin: int) -> Session:
    calls = attempt.trace.served_calls
    gaps = [0, *(max(0, now.intended_at - before.ended_at) for before, now in pairwise(calls))]
    turns = tuple(_turn(call, gap) for call, gap in zip(calls, gaps, strict=True))
    return Session(turns=turns, offset_s=(_began(attempt) - begin) / 1e9, name=f"{attempt.case_id} {attempt.repeat}")


def _turn(call: ModelCall, gap_ns: int) -> Turn:
    extra = dict(call.request.get("extra_body") or {})
    parameters = {key: value for key, value in call.request.items() if key not in (*LEFT_OUT, "extra_body")}
    body = {"messages": list(call.messages), **parameters, **extra}
    return Turn(path="chat/completions", body=body, gap_ns=gap_ns)
