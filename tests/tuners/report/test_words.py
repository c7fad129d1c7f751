"""Candidates and proposals as text."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from agentbench.core.study import ProposalRecord
from tuners.report.terminal import _against
from tuners.report.words import changes, proposal_json, proposal_lines


def test_values_are_written_as_in_yaml() -> None:
    assert changes({"agent.a": None, "agent.b": "None", "agent.c": True, "agent.d": "true"}) == (
        "a=null, b='None', c=true, d='true'"
    )
    assert changes({"agent.a": "", "agent.b": "plain text"}) == "a='', b=plain text"


def test_only_demonstrations_are_counted() -> None:
    assert changes({"agent.tools": [], "agent.demonstrations": []}) == "tools=[], demonstrations=0 examples"
    assert changes({"agent.demonstrations": [{"input": "a", "output": "b"}]}) == "demonstrations=1 examples"
    assert changes({"agent.tools": [{"name": "a"}]}) == "tools=[{'name': 'a'}]"


def test_a_verdict_on_too_few_clusters_has_no_interval_and_counts_failed_attempts() -> None:
    passes = {
        "rate_a": 0.75,
        "rate_b": 0.5,
        "difference": 0.25,
        "low": None,
        "high": None,
        "p_value": 0.5,
        "cases": 8,
        "excluded": 2,
    }
    assert _against(passes, "the baseline") == (
        "75.0 % against 50.0 % of the baseline: +25.0 pts (no interval: too few clusters; p = 0.5), 8 cases, paired,"
        " 2 failed attempts left out"
    )


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


def test_accepted_proposals_have_a_line_each_and_the_others_are_counted() -> None:
    [head, accepted_line] = [line.plain for line in proposal_lines([REFUSED, ACCEPTED])]
    assert head == "Proposed  2 instructions, 1 accepted"
    assert accepted_line.startswith("  agent.instructions[1]  50.0 % → 100.0 % of 2 train cases: Read")
    assert "\n" not in accepted_line
    assert len(accepted_line) < 240
    assert proposal_lines([]) == []


def test_a_proposal_s_json_has_its_full_text() -> None:
    data = json.loads(json.dumps(proposal_json(ACCEPTED)))
    assert (data["slot"], data["number"], data["text"], data["parent"]) == (1, 1, ACCEPTED.text, None)
    assert data["minibatch"] == ["a", "b"]
