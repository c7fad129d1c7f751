"""The contract of a store's studies."""

from dataclasses import replace
from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.core.study import ProposalRecord
from agentbench.store import Store, open_store
from agentbench.store.listing import Page
from agentbench.store.studies import StudyFilter
from agentbench.testing.store_samples import EPOCH, a_candidate, a_study


class StudiesContract:
    """Part of `StoreContract`: studies with their proposals, candidates and notes."""

    def test_a_proposal_is_stored_once_and_never_overwritten(self, store: Store, url: str) -> None:
        store.studies.create(a_study("s"))
        first = ProposalRecord(
            study="s",
            path="agent.instructions",
            slot=0,
            number=0,
            text="Add – and count.",
            parent=None,
            minibatch=("a", "b"),
            parent_score=0.5,
            score=1.0,
            accepted=True,
            created_at=EPOCH,
        )
        second = replace(first, slot=1, parent="Count.", score=None, accepted=False, note="nothing was written")
        for proposal in (second, first, replace(first, text="Another worker's.", score=0.0, accepted=False)):
            store.studies.keep_proposal(proposal)
        assert store.studies.proposals("s") == [first, second]
        assert store.studies.proposals("other") == []
        with open_store(url) as again:
            assert again.studies.proposals("s") == [first, second]

    def test_studies_are_searched_filtered_and_sorted(self, store: Store) -> None:
        studies = store.studies
        studies.create(a_study("words_50%"))
        studies.create(a_study("numbers", minutes=1, suite="maths"))
        studies.create(a_study("again", minutes=2))
        studies.set_status("again", "interrupted")
        studies.keep_seconds("numbers", 9.5)
        for number in (-1, 0, 1):  # numbers below 0 are claims that are not candidates
            assert studies.claim(a_candidate("numbers", number), None, None)
        studies.notes.add_tag("again", "to publish")

        def found(**filters: Any) -> list[str]:
            listed, total = studies.listed(StudyFilter(**filters), Page())
            assert total == len(listed)
            return [each.name for each in listed]

        assert found() == studies.names() == ["again", "numbers", "words_50%"]
        assert found(text="%") == ["words_50%"]
        assert found(text="MATH") == ["numbers"]
        assert found(suite="weather", status="running") == ["words_50%"]
        assert found(tag="to publish") == ["again"]
        assert found(sort="candidates")[0] == found(sort="seconds")[0] == "numbers"
        assert found(sort="name", descending=False) == ["again", "numbers", "words_50%"]
        assert studies.suites() == ["maths", "weather"]
        (second,), total = studies.listed(StudyFilter(), Page(offset=1, limit=1))
        assert (second.name, second.candidates, second.seconds, total) == ("numbers", 2, 9.5, 3)

    def test_a_studys_progress_changes_with_its_candidates_time_and_result(self, store: Store) -> None:
        studies = store.studies
        assert studies.progress("words") is None
        studies.create(a_study("words"))
        seen = [studies.progress("words")]
        studies.claim(a_candidate("words", 0), None, None)
        assert studies.progress("words") == seen[0]
        studies.keep_candidate(a_candidate("words", 0, end="finished", ended_at=EPOCH))
        seen.append(studies.progress("words"))
        studies.keep_seconds("words", 3.0)
        seen.append(studies.progress("words"))
        studies.finish("words", {"winner": None})
        seen.append(studies.progress("words"))
        assert len(set(seen)) == 4

    def test_tags_and_notes_of_studies_are_stored(self, store: Store) -> None:
        store.studies.create(a_study("words"))
        notes = store.studies.notes
        notes.add_tag("words", "a")
        notes.set_note("words", "first")
        notes.set_note("words", "second")
        assert (notes.tags(["words", "absent"]), notes.note("words")) == ({"words": ["a"]}, "second")
        assert store.notes.all_tags() == []
        notes.remove_tag("words", "a")
        assert notes.all_tags() == []
        with pytest.raises(UserError, match=r"unknown study 'wrds'\. Did you mean 'words'"):
            notes.add_tag("wrds", "a")
