"""The contract of a store's lists: runs and attempts, and studies with their proposals."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agentbench.core.attempt import Label
from agentbench.core.errors import UserError
from agentbench.core.run import RunKind
from agentbench.core.study import ProposalRecord, StudyRun
from agentbench.store import Store, open_store
from agentbench.store.listing import AttemptFilter, Page, RunFilter, Verdict
from agentbench.store.studies import StudyFilter
from agentbench.testing.store_samples import EPOCH, a_candidate, a_case, a_run, a_study, an_attempt


class ListingContract:
    """Part of `StoreContract`: lists of runs and attempts, as the viewer and the terminal show them."""

    def listed(self, store: Store, **filters: Any) -> list[str]:
        """The ids of the runs that match."""
        runs, total = store.listing.runs(RunFilter(**filters), Page())
        assert total == len(runs)
        return [run.id for run in runs]

    def test_runs_are_searched_filtered_and_sorted(self, filled: Store) -> None:
        filled.create_run(a_run("run-2", minutes=1, label="Best_50%", status="finished"))
        filled.create_run(a_run("other-3", minutes=2, suite="shop"))
        filled.add_attempt("run-2", an_attempt("paris", 0), a_case("paris"))
        assert self.listed(filled) == ["other-3", "run-2", "run-1"]
        assert self.listed(filled, descending=False) == ["run-1", "run-2", "other-3"]
        assert self.listed(filled, text="best_5") == ["run-2"]
        assert self.listed(filled, text="%") == ["run-2"]
        assert self.listed(filled, text="SHO") == ["other-3"]
        assert self.listed(filled, suite="weather", status="running") == ["run-1"]
        assert self.listed(filled, sort="right") == ["run-2", "run-1", "other-3"]
        assert self.listed(filled, sort="right", descending=False) == ["run-1", "run-2", "other-3"]
        assert filled.listing.suites() == ["shop", "weather"]
        runs, total = filled.listing.runs(RunFilter(), Page(offset=1, limit=1))
        assert ([(run.id, run.passed, run.wrong, run.failed) for run in runs], total) == ([("run-2", 1, 0, 0)], 3)

    def test_attempts_are_listed_a_page_at_a_time(self, filled: Store) -> None:
        def found(limit: int = 10, offset: int = 0, **filters: Any) -> tuple[list[tuple[str, int]], int]:
            page = Page(offset=offset, limit=limit)
            attempts, total = filled.listing.attempts("run-1", AttemptFilter(**filters), page)
            return [(each.case_id, each.repeat) for each in attempts], total

        assert found() == ([("paris", 0), ("paris", 1), ("rome", 0)], 3)
        assert found(limit=1, offset=1) == ([("paris", 1)], 3)
        assert found(text="OM") == ([("rome", 0)], 1)
        assert found(verdict="right") == ([("paris", 0)], 1)
        assert found(verdict="wrong") == ([("paris", 1)], 1)
        assert found(verdict="failed") == ([("rome", 0)], 1)
        assert found(verdict="waiting") == ([], 0)
        assert found(sort="case", descending=True)[0] == [("rome", 0), ("paris", 1), ("paris", 0)]
        (first, *_), _ = filled.listing.attempts("run-1", AttemptFilter(), Page())
        assert first.trace.model_calls[0].chunk_at == an_attempt().trace.model_calls[0].chunk_at
        assert first.trace.model_calls[0].messages == ()
        assert filled.listing.repeats("run-1", "paris") == [0, 1]

    def test_labels_decide_a_listed_verdict(self, reviewed: Store) -> None:
        def cases(verdict: Verdict) -> list[str]:
            return [
                each.case_id for each in reviewed.listing.attempts("run-1", AttemptFilter(verdict=verdict), Page())[0]
            ]

        assert (cases("waiting"), cases("right"), cases("wrong")) == (["paris"], [], ["rome"])
        label = Label(case_id="paris", repeat=0, reviewer="ann", passed=True, created_at=EPOCH)
        before = reviewed.listing.progress("run-1")
        reviewed.add_label("run-1", label)
        assert (cases("waiting"), cases("right"), cases("wrong")) == ([], ["paris"], ["rome"])
        assert reviewed.listing.progress("run-1") != before
        reviewed.add_label("run-1", replace(label, passed=False, created_at=EPOCH + timedelta(minutes=1)))
        assert (cases("waiting"), cases("right"), cases("wrong")) == ([], [], ["paris", "rome"])

    def test_the_same_case_is_found_in_other_runs(self, filled: Store) -> None:
        filled.create_run(a_run("run-2", minutes=1, label="second"))
        filled.add_attempt("run-2", an_attempt("paris", passed=False), a_case("paris"))
        found = filled.listing.elsewhere("paris", "weather")
        assert [(run, label, verdict) for run, label, _, verdict in found] == [
            ("run-2", "second", "wrong"),
            ("run-1", "", "right"),
        ]

    def test_a_suites_history_has_finished_runs_but_no_reruns_and_no_runs_of_studies(self, store: Store) -> None:
        kinds: tuple[RunKind, ...] = ("suite", "part", "suite", "study", "suite")
        for number, kind in enumerate(kinds):
            store.create_run(a_run(f"run-{number}", minutes=number, status="finished", kind=kind))
        store.create_run(a_run("running", minutes=9))
        store.create_run(a_run("again", minutes=10, status="finished", kind="rerun"))
        store.studies.create(a_study("words"))
        store.studies.add_run(StudyRun(study="words", purpose="search", answers="a", config_hash="b", run_id="run-3"))
        assert [run.id for run in store.listing.history("weather", 3)] == ["run-1", "run-2", "run-4"]
        assert "run-3" in self.listed(store)
        assert self.listed(store, of_studies=False) == ["again", "running", "run-4", "run-2", "run-1", "run-0"]


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
