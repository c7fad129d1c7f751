"""Demonstrations from the agent's own passing attempts on train, never on test."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from tuners.search.candidate import Candidate
from tuners.space.parameters import Bootstrap
from tuners.space.space import Settings, Space

Attempts = Callable[[Candidate], Sequence[Attempt]]
"""A candidate to its attempts on train."""

Demonstration = dict[str, str]


class Bootstrapper:
    """Replaces a suggested number of demonstrations by that many demonstrations.

    They come from the best candidate with enough passing attempts, or else from the one with the most. `cases` are the
    train cases by id, and no other case is shown. `order` decides which cases come first; another set has another
    order.
    """

    def __init__(self, space: Space, cases: Mapping[str, Case], order: Sequence[str], attempts: Attempts) -> None:
        self._paths = [path for path, each in space.parameters.items() if isinstance(each, Bootstrap)]
        self._cases = cases
        self._order = {case_id: place for place, case_id in enumerate(order)}
        self._attempts = attempts

    async def __call__(self, settings: Settings, candidates: Sequence[Candidate]) -> Settings:
        found = {path: self._demonstrations(settings[path], candidates) for path in self._paths if path in settings}
        return {**settings, **found}

    def _demonstrations(self, suggested: Any, candidates: Sequence[Candidate]) -> list[Demonstration]:
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
        """At most `wanted` demonstrations from the candidate's passing attempts, one for each case."""
        if sum(candidate.scores.values()) <= 0:
            return []
        passing = [each for each in self._attempts(candidate) if each.passed and each.case_id in self._order]
        passing.sort(key=lambda each: (self._place(each.case_id, chosen), each.repeat))
        found: dict[str, Demonstration] = {}
        for attempt in passing:
            demonstration = demonstration_of(self._cases[attempt.case_id], attempt)
            if demonstration is not None and len(found) < wanted:
                found.setdefault(attempt.case_id, demonstration)
        return list(found.values())

    def _place(self, case_id: str, chosen: int) -> int:
        """The case's place in the order of a set: set 0 has the order of the rungs, the others are shuffled."""
        if chosen == 0:
            return self._order[case_id]
        digest = hashlib.blake2b(f"{chosen}\0{case_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big")


def demonstration_of(case: Case, attempt: Attempt) -> Demonstration | None:
    """The case's question and the model's answer; None unless it was one text question with one text answer."""
    calls = attempt.trace.model_calls
    if len(case.messages) != 1 or len(calls) != 1:
        return None
    question, answer = case.messages[0].get("content"), calls[0].answer
    return {"input": question, "output": answer} if isinstance(question, str) and answer else None
