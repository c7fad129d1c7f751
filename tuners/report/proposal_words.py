"""What a model proposed, in words and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from agentbench.core.study import ProposalRecord
from agentbench.report import figures
from agentbench.report.plain import line

LONGEST_TEXT = 160


def proposal_lines(proposals: Sequence[ProposalRecord]) -> list[Text]:
    """How many there were, and each that was accepted with what it did on its minibatch; nothing without any."""
    if not proposals:
        return []
    accepted = [each for each in proposals if each.accepted]
    head = Text.assemble(("Proposed  ", "bold"), f"{len(proposals)} instructions, {len(accepted)} accepted")
    return [head, *(Text(_told(each)) for each in accepted)]


def _told(proposal: ProposalRecord) -> str:
    text = line(proposal.text)
    shown = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
    scores = f"{figures.percent(proposal.parent_score)} → {figures.percent(proposal.score)}"
    return f"  {proposal.path}[{proposal.slot}]  {scores} of {len(proposal.minibatch)} train cases: {shown}"


def proposal_json(proposal: ProposalRecord) -> dict[str, Any]:
    return {**asdict(proposal), "created_at": proposal.created_at.isoformat()}
