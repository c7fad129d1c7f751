"""Candidates and proposals as text: a candidate's changes, its row in a table, and a model's proposals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from agentbench.core.study import ProposalRecord
from agentbench.report import figures
from agentbench.report.terminal_safe import line
from tuners.search.candidate import BASELINE, Candidate
from tuners.search.evaluator import Figures
from tuners.space.space import Settings

LONGEST = 48
DEMONSTRATIONS = "demonstrations"
LOOKS_LIKE_ANOTHER = frozenset({"", "null", "none", "~", "true", "false"})
"""Texts that need quotes, since YAML would read them as another value."""

COLUMNS = ("#", "what changed", "rung", "quality", "TTFT p95", "TPOT p50", "goodput/s", "runs", "s", "")


def changes(settings: Settings) -> str:
    """The settings as `name=value`, by the last part of their paths; "baseline" without any."""
    if not settings:
        return "baseline"
    return ", ".join(f"{path.rpartition('.')[2]}={shown_value(value, path=path)}" for path, value in settings.items())


def shown_value(value: Any, longest: int = LONGEST, path: str = "") -> str:
    """The value on one line of at most `longest` characters; demonstrations are counted instead."""
    if path.endswith(DEMONSTRATIONS) and isinstance(value, list | tuple):
        return f"{len(value)} examples"
    text = line(value_text(value))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def value_text(value: Any) -> str:
    """The value as text: null, true and false as in YAML, and a text that looks like one of them in quotes."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and value.strip().lower() in LOOKS_LIKE_ANOTHER:
        return repr(value)
    return str(value)


def row(
    number: int,
    settings: Settings,
    rung: int,
    quality: float | None,
    found: Figures,
    case_runs: int,
    seconds: float,
    end: str,
) -> tuple[str, ...]:
    """The cells of `COLUMNS`."""
    return (
        str(number),
        "baseline" if number == BASELINE else changes(settings),
        str(rung + 1),
        figures.percent(quality),
        figures.seconds(found.get("ttft_p95")),
        figures.seconds(found.get("tpot_p50")),
        figures.rate(found.get("goodput")),
        str(case_runs),
        f"{seconds:.0f}",
        end,
    )


def candidate_row(candidate: Candidate) -> tuple[str, ...]:
    """The cells of `COLUMNS` for a candidate with results."""
    end: str = candidate.end if candidate.meets or candidate.end != "finished" else "infeasible"
    end += f", {candidate.failed} failed" if candidate.failed else ""
    return row(
        candidate.number,
        candidate.settings,
        candidate.rung,
        candidate.quality if candidate.scores else None,
        candidate.figures,
        candidate.case_runs,
        candidate.seconds,
        end,
    )


def beyond(candidate: Candidate, bounds: Mapping[str, float]) -> str:
    """The constraints that the candidate does not meet, each with its figure and the bound."""
    values: Figures = {**candidate.figures, "quality": candidate.quality}
    missed: Sequence[str] = [metric for metric, excess in candidate.excess.items() if excess > 0]
    return ", ".join(
        f"{metric} {values[metric]:.3g} (bound {bounds[metric]:g})"
        if metric in values
        else f"{metric} unknown (bound {bounds[metric]:g})"
        for metric in missed
    )


LONGEST_TEXT = 160


def proposal_lines(proposals: Sequence[ProposalRecord]) -> list[Text]:
    """The number of proposals, then each accepted one with its gain on the minibatch; no lines without proposals."""
    if not proposals:
        return []
    accepted = [each for each in proposals if each.accepted]
    head = Text.assemble(("Proposed  ", "bold"), f"{len(proposals)} instructions, {len(accepted)} accepted")
    return [head, *(Text(_proposal_line(each)) for each in accepted)]


def _proposal_line(proposal: ProposalRecord) -> str:
    text = line(proposal.text)
    shown = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
    scores = f"{figures.percent(proposal.parent_score)} → {figures.percent(proposal.score)}"
    return f"  {proposal.path}[{proposal.slot}]  {scores} of {len(proposal.minibatch)} train cases: {shown}"


def proposal_json(proposal: ProposalRecord) -> dict[str, Any]:
    return {**asdict(proposal), "created_at": proposal.created_at.isoformat()}
