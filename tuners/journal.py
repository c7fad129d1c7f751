"""What is known of a study's candidates, kept so that a search that was broken off goes on where it was."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tuners.candidate import Candidate
from tuners.space import Settings


class Journal(Protocol):
    """Keeps candidates from their beginning to their end, for this worker and others."""

    def ended(self) -> Sequence[Candidate]:
        """Every candidate that has ended, in the order of their numbers."""
        ...

    def abandoned(self) -> Mapping[int, Settings]:
        """Number to settings of the candidates that nobody is at work on any more, and that have not ended."""
        ...

    def begun(self) -> Mapping[int, Settings]:
        """Every candidate that has begun, ended or not."""
        ...

    def begin(self, number: int, settings: Settings) -> None:
        """This worker is at work on the candidate from now on."""
        ...

    def go_on(self, number: int) -> None:
        """This worker still is."""
        ...

    def end(self, candidate: Candidate) -> None: ...


class MemoryJournal:
    """A journal of this process."""

    def __init__(self) -> None:
        self._ended: dict[int, Candidate] = {}
        self._begun: dict[int, Settings] = {}

    def ended(self) -> Sequence[Candidate]:
        return [self._ended[number] for number in sorted(self._ended)]

    def abandoned(self) -> Mapping[int, Settings]:
        return {number: self._begun[number] for number in sorted(self._begun.keys() - self._ended.keys())}

    def begun(self) -> Mapping[int, Settings]:
        return dict(self._begun)

    def begin(self, number: int, settings: Settings) -> None:
        self._begun[number] = settings

    def go_on(self, number: int) -> None:
        assert number in self._begun

    def end(self, candidate: Candidate) -> None:
        self._ended[candidate.number] = candidate
