"""Demonstrations from the agent's own passing traces on train, never from test."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from tuners.search.candidate import Candidate
from tuners.space.parameters import Bootstrap
from tuners.space.space import Settings, Space

Attempts = Callable[[Candidate], Sequence[Attempt]]
"""A candidate's attempts on train."""

Demonstration = dict[str, str]


class Bootstrapper:
    """Puts demonstrations in the place of their number.

    They come from the candidate of the highest quality that has as many, in the order of the cases in `order` (of
    another set in another order); with none, there are fewer. `cases` are those of train: what is demonstrated is one
    of them or nothing.
    """

    def __init__(self, space: Space, cases: Mapping[str, Case], order: Sequence[str], attempts: Attempts) -> None:
        self._paths = [path for path, each in space.parameters.items() if isinstance(each, Bootstrap)]
        self._cases = cases
        self._order = {case_id: place for place, case_id in enumerate(order)}
        self._attempts = attempts

    async def __call__(self, settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        found = {path: self._found(settings[path], candidates) for path in self._paths if path in settings}
        return {**settings, **found}

    def _found(self, suggested: Any, candidates: Sequence[Candidate]) -> list[Demonstration]:
        wanted, chosen = (
            (suggested["bootstrap"], suggested["set"]) if isinstance(suggested, Mapping) else (int(suggested), 0)
        )
        most: list[Demonstration] = []
        for candidate in sorted(candidates, key=lambda each: -each.quality) if wanted else ():
            found = self._of(candidate, wanted, chosen)
            if len(found) == wanted:
                return found
            most = max(most, found, key=len)
        return most

    def _of(self, candidate: Candidate, wanted: int, chosen: int) -> list[Demonstration]:
        if sum(candidate.scores.values()) <= 0:
            return []
        passing = [each for each in self._attempts(candidate) if each.passed and each.case_id in self._order]
        passing.sort(key=lambda each: (self._place(each.case_id, chosen), each.repeat))
        found: dict[str, Demonstration] = {}
        for attempt in passing:
            shown = demonstration_of(self._cases[attempt.case_id], attempt)
            if shown is not None and len(found) < wanted:
                found.setdefault(attempt.case_id, shown)
        return list(found.values())

    def _place(self, case_id: str, chosen: int) -> int:
        """Where the case stands in the order of a set: the first has the rungs' own, the others are shuffled."""
        if chosen == 0:
            return self._order[case_id]
        digest = hashlib.blake2b(f"{chosen}\0{case_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big")


def demonstration_of(case: Case, attempt: Attempt) -> Demonstration | None:
    """What the user said and what the model answered; None unless it was one question with one answer in text."""
    calls = attempt.trace.model_calls
    if len(case.messages) != 1 or len(calls) != 1:
        return None
    said, answered = case.messages[0].get("content"), calls[0].answer
    return {"input": said, "output": answered} if isinstance(said, str) and answered else None
