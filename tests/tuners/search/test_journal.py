"""Every journal keeps the contract, and one that does not is found out."""

import os
import platform
from collections.abc import Callable

import pytest

from agentbench.store import Store
from agentbench.testing.store_samples import a_study
from tuners.search import journal as journals
from tuners.search.candidate import Candidate
from tuners.search.journal import Journal, MemoryJournal, StoredJournal
from tuners.space.space import Settings
from tuners.testing import JournalContract, SharedJournalContract


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal()

    @pytest.fixture
    def restart(self, journal: MemoryJournal) -> Callable[[], Journal]:
        def again() -> Journal:
            journal.abandon()
            return journal

        return again


class TestStoredJournal(SharedJournalContract):
    @pytest.fixture
    def journal(self, store: Store) -> Journal:
        store.studies.create(a_study("words"))
        return StoredJournal(store, "words")

    @pytest.fixture
    def restart(self, store: Store) -> Callable[[], Journal]:
        """Process numbers are given out again: ours on what we did not begin is that of a process before us."""
        return lambda: StoredJournal(store, "words")

    @pytest.fixture
    def other(self, journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch) -> Journal:
        """Of another process that is there."""
        with monkeypatch.context() as patched:
            patched.setattr(journals, "this_worker", lambda: f"{platform.node()}:{os.getppid()}")
            return StoredJournal(store, "words")


class Forgetful(MemoryJournal):
    """Hands every candidate to whoever asks for it, and tells of an end whenever it is asked."""

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        self._begun[number] = settings
        self._ours.add(number)
        return True

    def news(self) -> list[Candidate]:
        return list(self._ended.values())

    def progress(self, number: int) -> None:
        return None


@pytest.mark.parametrize(
    "broken",
    [
        "a_candidate_begins_once",
        "no_more_begin_than_may",
        "an_end_is_news_once",
        "progress_is_that_which_was_told_last",
    ],
)
def test_a_journal_that_breaks_the_contract_fails_it(broken: str) -> None:
    with pytest.raises(AssertionError):
        getattr(JournalContract(), f"test_{broken}")(Forgetful())


@pytest.mark.parametrize(
    "broken",
    ["what_was_left_unfinished_is_taken_over", "what_has_ended_is_told_to_the_next_process_and_not_taken_over"],
)
def test_a_journal_that_forgets_what_came_before_fails_the_contract(broken: str) -> None:
    journal = Forgetful()
    with pytest.raises(AssertionError):
        getattr(JournalContract(), f"test_{broken}")(journal, lambda: journal)


@pytest.mark.parametrize(
    "broken",
    [
        "two_workers_do_not_have_the_same_candidate",
        "the_limit_is_of_all_workers_together",
        "each_worker_is_told_of_every_end",
        "each_worker_sees_how_far_the_others_are",
    ],
)
def test_a_journal_of_one_process_is_not_shared(broken: str) -> None:
    with pytest.raises(AssertionError):
        getattr(SharedJournalContract(), f"test_{broken}")(MemoryJournal(), MemoryJournal())
