"""Naming a run: by its id, the start of it, what follows its last dash, its label, `latest` or `latest~N`."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from sqlalchemy import select
from sqlalchemy.orm import Session

from agentbench.errors import UserError
from agentbench.store.tables import RunRow

LATEST = re.compile(r"latest(?:~(\d+))?")
SHOWN = 8
"""How many runs an error lists."""

NEWEST_FIRST = (RunRow.created_at.desc(), RunRow.id.desc())


def find_run(session: Session, reference: str) -> RunRow:
    """The run meant. An id wins over a label, a label over the start of an id, that over its end.

    Raises `UserError` when it names none, or more than one.
    """
    if found := LATEST.fullmatch(reference):
        return _latest(session, reference, int(found[1] or 0))
    if exact := session.get(RunRow, reference):
        return exact
    for matches in (
        RunRow.label == reference,
        RunRow.id.startswith(reference, autoescape=True),
        RunRow.id.endswith(f"-{reference}", autoescape=True),
    ):
        rows = session.scalars(select(RunRow).where(matches).order_by(*NEWEST_FIRST).limit(SHOWN)).all()
        if len(rows) == 1:
            return rows[0]
        if rows and reference:
            raise UserError(f"{reference!r} names several runs: {_listed(rows)}. Give more of the id.")
    raise _unknown(session, reference)


def _latest(session: Session, reference: str, back: int) -> RunRow:
    row = session.scalars(select(RunRow).order_by(*NEWEST_FIRST).offset(back).limit(1)).first()
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
        " Give an id, its start or end, a label, latest or latest~N."
    )


def _listed(rows: Sequence[RunRow]) -> str:
    return ", ".join(f"{row.id} ({row.label})" if row.label else row.id for row in rows)
