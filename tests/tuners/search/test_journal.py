"""Each journal fulfils the contract, and a broken one fails it."""

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
        """A process id can repeat: candidates with our id that we did not begin belong to an earlier process."""
        return lambda: StoredJournal(store, "words")

    @pytest.fixture
    def other(self, journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch) -> Journal:
        """The journal of another live process."""
        with monkeypatch.context() as patched:
            patched.setattr(journals, "this_worker", lambda: f"{platform.node()}:{os.getppid()}")
            return StoredJournal(store, "words")


class Forgetful(MemoryJournal):
    """Hands a candidate to every worker that claims it, and reports all ends at each call."""

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
        "no_more_candidates_begin_than_the_limit",
        "an_end_is_news_once",
        "progress_is_the_last_one_recorded",
    ],
)
def test_a_journal_that_breaks_the_contract_fails_it(broken: str) -> None:
    with pytest.raises(AssertionError):
        getattr(JournalContract(), f"test_{broken}")(Forgetful())


@pytest.mark.parametrize(
    "broken",
    ["an_unfinished_candidate_is_taken_over", "an_ended_candidate_is_news_to_the_next_process_and_is_not_taken_over"],
)
def test_a_journal_that_forgets_earlier_processes_fails_the_contract(broken: str) -> None:
    journal = Forgetful()
    with pytest.raises(AssertionError):
        getattr(JournalContract(), f"test_{broken}")(journal, lambda: journal)


@pytest.mark.parametrize(
    "broken",
    [
        "two_workers_never_have_the_same_candidate",
        "all_workers_share_the_limit",
        "each_worker_gets_every_end",
        "each_worker_sees_the_progress_of_the_others",
    ],
)
def test_a_journal_of_one_process_is_not_shared(broken: str) -> None:
    with pytest.raises(AssertionError):
        getattr(SharedJournalContract(), f"test_{broken}")(MemoryJournal(), MemoryJournal())
