"""What is known of a study's candidates, kept so that a search that was broken off goes on where it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuners.search.candidate import Candidate
from tuners.space.space import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a candidate is that has not ended: what it had cost when it began `rung`, and what is known of it.

    `had` is how many attempts at that rung's cases there were then, under its own settings: what there is more of them
    by now was made for it, by whichever process.
    """

    rung: int
    had: int
    case_runs: int
    seconds: float
    candidate: Candidate


class Journal(Protocol):
    """Keeps candidates from their beginning to their end, for this worker and others."""

    def news(self) -> Sequence[Candidate]:
        """The candidates, of any worker, that have ended since this was asked last."""
        ...

    def begun(self) -> Mapping[int, Settings]:
        """Every candidate that has begun, ended or not, in the order of their beginnings."""
        ...

    def abandoned(self) -> Mapping[int, Settings]:
        """Those that have begun and not ended, and that nobody is at work on any more, in the order of their
        beginnings."""
        ...

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        """This worker begins the candidate, or takes it over when it was abandoned.

        False when another worker has it, or when `most` candidates have begun and this would be one more.
        """
        ...

    def go_on(self, number: int, progress: Progress) -> None:
        """This worker is still at work on it, and so far."""
        ...

    def progress(self, number: int) -> Progress | None:
        """How far it was, by whichever worker; None when it is at its beginning."""
        ...

    def end(self, candidate: Candidate) -> None: ...


class MemoryJournal:
    """A journal of this process; `abandon` forgets who was at work, as a new process would."""

    def __init__(self) -> None:
        self._ended: dict[int, Candidate] = {}
        self._begun: dict[int, Settings] = {}
        self._ours: set[int] = set()
        self._told: set[int] = set()
        self._progress: dict[int, Progress] = {}

    def abandon(self) -> None:
        self._ours.clear()
        self._told.clear()

    def news(self) -> Sequence[Candidate]:
        found = [self._ended[number] for number in sorted(self._ended.keys() - self._told)]
        self._told |= self._ended.keys()
        return found

    def begun(self) -> Mapping[int, Settings]:
        return dict(self._begun)

    def abandoned(self) -> Mapping[int, Settings]:
        left = self._begun.keys() - self._ended.keys() - self._ours
        return {number: settings for number, settings in self._begun.items() if number in left}

    def claim(self, number: int, settings: Settings, most: int | None = None) -> bool:
        known = number in self._begun
        if number in self._ours or (not known and most is not None and len(self._begun) >= most):
            return False
        self._begun.setdefault(number, settings)
        self._ours.add(number)
        return True

    def go_on(self, number: int, progress: Progress) -> None:
        assert number in self._ours
        self._progress[number] = progress

    def progress(self, number: int) -> Progress | None:
        return self._progress.get(number)

    def end(self, candidate: Candidate) -> None:
        self._ended[candidate.number] = candidate
