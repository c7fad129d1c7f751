"""A suite.yaml as a pytest collector, a case as an item."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.plugin.session import SuiteSession
from agentbench.score import Attempt


class CaseFailed(Exception):
    """The case did not pass; the message is what the item shows."""


class SuiteCollector(pytest.File):
    """Collects the cases that the session's options leave of a suite."""

    def collect(self) -> Iterator["CaseItem"]:
        try:
            suite = SuiteSession.of(self.config).suite(self.path)
        except UserError as error:
            raise self.CollectError(str(error)) from None
        for case in suite.cases:
            yield CaseItem.from_parent(self, name=case.id, case=case)


class CaseItem(pytest.Item):
    """Passes when every repeat of its case passed.

    In a suite of mode `gate` a wrong answer is shown as missed and does not fail; a failure (no answer at
    all) fails in either mode.
    """

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        session = SuiteSession.of(self.config)
        run = session.run(self.path, _selected(self.session.items, self))
        attempts = run.attempts(self.case)
        missed = [attempt for attempt in attempts if attempt.failure or attempt.passed is False]
        if not missed and any(attempt.passed is None for attempt in attempts):
            pytest.skip(f"waits for review: agentbench review {run.run_id}")
        if not missed:
            return
        if session.suite(self.path).mode == "gate" and not any(attempt.failure for attempt in missed):
            self.user_properties.append(("agentbench", "missed"))
            return
        raise CaseFailed(_explain(self.case, missed, len(attempts), run.run_id))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailed | UserError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.path.parent.name}::{self.name}"


def _selected(items: Sequence[pytest.Item], of: CaseItem) -> frozenset[str]:
    """The ids of the suite's cases that were not deselected."""
    return frozenset(item.case.id for item in items if isinstance(item, CaseItem) and item.path == of.path)


def _explain(case: Case, missed: list[Attempt], repeats: int, run_id: str) -> str:
    lines = [f"case {case.id}: {len(missed)} of {repeats} attempts did not pass"]
    for attempt in missed:
        lines += _reasons(attempt)
        lines += [f"  called {call.name}({dict(call.arguments)})" for call in attempt.trace.tool_calls]
        if attempt.trace.output:
            lines.append(f"  answered {attempt.trace.output[:500]!r}")
    lines.append(f"transcript: agentbench show {run_id} --case {case.id}")
    return "\n".join(lines)


def _reasons(attempt: Attempt) -> list[str]:
    head = f"repeat {attempt.repeat}: "
    if attempt.failure is not None:
        return [f"{head}{attempt.failure.kind} failure: {attempt.failure.message}"]
    return [f"{head}{score.name}: {score.reason}" for score in attempt.scores if score.passed is False]
