"""What is said of proposals: how many, and those that were accepted with what they did."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from agentbench.core.study import ProposalRecord
from tuners.report.proposal_words import proposal_json, proposal_lines

REFUSED = ProposalRecord(
    study="s",
    path="agent.instructions",
    slot=1,
    number=0,
    text="Be nice.",
    minibatch=("a", "b"),
    parent_score=0.5,
    score=0.5,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
)
ACCEPTED = replace(REFUSED, number=1, text="Read\nthe units. " + "And more. " * 50, score=1.0, accepted=True)


def test_those_accepted_are_shown_on_a_line_each_and_the_others_are_counted() -> None:
    [head, told] = [line.plain for line in proposal_lines([REFUSED, ACCEPTED])]
    assert head == "Proposed  2 instructions, 1 accepted"
    assert told.startswith("  agent.instructions[1]  50.0 % → 100.0 % of 2 train cases: Read")
    assert "\n" not in told
    assert len(told) < 240
    assert proposal_lines([]) == []


def test_json_has_all_of_it() -> None:
    data = json.loads(json.dumps(proposal_json(ACCEPTED)))
    assert (data["slot"], data["number"], data["text"], data["parent"]) == (1, 1, ACCEPTED.text, None)
    assert data["minibatch"] == ["a", "b"]
