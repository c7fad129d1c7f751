"""Naming a run: by its id, the start of it, what follows its last dash, its label, `latest` or `latest~N`.

The newest of several runs of one label is meant; `LABEL~N` is the N-th before it.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from sqlalchemy import select
from sqlalchemy.orm import Session

from agentbench.core.errors import UserError
from agentbench.core.run import STANDALONE
from agentbench.store.tables import RunRow

LATEST = re.compile(r"latest(?:~(\d+))?")
BEFORE = re.compile(r"(.+)~(\d+)", re.DOTALL)
SHOWN = 8
"""How many runs an error lists."""

NEWEST_FIRST = (RunRow.created_at.desc(), RunRow.id.desc())


def find_run(session: Session, reference: str, suite: str | None = None) -> RunRow:
    """The run meant. An id wins over a label, a label over the start of an id, that over its end. With a `suite` a
    label means runs of that suite.

    Raises `UserError` when it names none, or more than one.
    """
    if not reference.strip():
        raise UserError("the name of the run is empty; give an id, its start or end, a label, latest or latest~N")
    if found := LATEST.fullmatch(reference):
        return _latest(session, reference, int(found[1] or 0))
    if exact := session.get(RunRow, reference):
        return exact
    if labelled := _labelled(session, reference, suite):
        return labelled
    for matches in (
        RunRow.id.startswith(reference, autoescape=True),
        RunRow.id.endswith(f"-{reference}", autoescape=True),
    ):
        rows = session.scalars(select(RunRow).where(matches).order_by(*NEWEST_FIRST).limit(SHOWN)).all()
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise UserError(f"{reference!r} names several runs: {_listed(rows)}. Give more of the id.")
    raise _unknown(session, reference)


def _labelled(session: Session, reference: str, suite: str | None) -> RunRow | None:
    """The newest run of the label, or the one so many before it."""
    before = BEFORE.fullmatch(reference)
    for label, back in ((reference, 0), *([(before[1], int(before[2]))] if before else [])):
        query = select(RunRow).where(RunRow.label == label, *([RunRow.suite == suite] if suite else []))
        newest = session.scalars(query.order_by(*NEWEST_FIRST).offset(back).limit(1)).first()
        if label and newest is not None:
            return newest
    return None


def _latest(session: Session, reference: str, back: int) -> RunRow:
    """A rerun answers for another run, and a study's runs for the study: neither is what anybody ran last."""
    query = select(RunRow).where(RunRow.kind.in_(STANDALONE)).order_by(*NEWEST_FIRST)
    row = session.scalars(query.offset(back).limit(1)).first()
    if row is None:
        raise _unknown(session, reference)
    return row


def _unknown(session: Session, reference: str) -> UserError:
    newest = session.scalars(select(RunRow).order_by(*NEWEST_FIRST).limit(200)).all()
    if not newest:
        return UserError(f"no run {reference!r}: the store has no runs yet. Make one: agentbench run SUITE.")
    names = [row.id for row in newest] + [row.label for row in newest if row.label]
    near = get_close_matches(reference, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UserError(
        f"no run {reference!r}.{hint} Newest: {_listed(newest[:SHOWN])}."
        " Give an id, its start or end, a label (the newest of it), LABEL~N, latest or latest~N."
    )


def _listed(rows: Sequence[RunRow]) -> str:
    return ", ".join(f"{row.id} ({row.label})" if row.label else row.id for row in rows)
