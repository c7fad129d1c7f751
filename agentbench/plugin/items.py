"""A suite.yaml as a pytest collector: an item for each case, and in mode `gate` one more that decides."""

from collections.abc import Iterator
from typing import Any

import pytest

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.gating import judge_run
from agentbench.plugin.hooks import SHOWN_AS
from agentbench.plugin.properties import case_properties, gate_properties
from agentbench.plugin.session import SuiteSession
from agentbench.report.gate_text import gate_lines
from agentbench.score import Attempt


class CaseFailed(Exception):
    """The case did not pass; the message is what the item shows."""


class GateFailed(Exception):
    """The gate did not pass; the message is what the item shows."""


class SuiteCollector(pytest.File):
    """Collects the cases that the session's options leave of a suite, and its gate after them."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            suite = SuiteSession.of(self.config).suite(self.path)
        except UserError as error:
            raise self.CollectError(str(error)) from None
        for case in suite.cases:
            yield CaseItem.from_parent(self, name=case.id, case=case)
        if suite.mode == "gate":
            yield GateItem.from_parent(self, name="gate")


class _SuiteItem(pytest.Item):
    """Shows our own failures as their message, without a traceback."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailed | GateFailed | UserError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.path.parent.name}::{self.name}"

    def selected(self) -> frozenset[str]:
        """The ids of the suite's cases that were not deselected; all of them when only the gate was selected."""
        items = (item for item in self.session.items if isinstance(item, CaseItem) and item.path == self.path)
        suite = SuiteSession.of(self.config).suite(self.path)
        return frozenset(item.case.id for item in items) or frozenset(case.id for case in suite.cases)


class CaseItem(_SuiteItem):
    """Passes when every repeat of its case passed.

    In a suite of mode `gate` a wrong answer is shown as missed and no answer as broken, and neither fails: the gate
    decides. In mode `strict` a case that a rerun got right is shown as rescued and does not fail.
    """

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        session = SuiteSession.of(self.config)
        run = session.run(self.path, self.selected())
        attempts = run.attempts(self.case)
        self.user_properties += case_properties(run.run_id, attempts)
        missed = [attempt for attempt in attempts if attempt.failure or attempt.passed is False]
        if not missed and any(attempt.passed is None for attempt in attempts):
            pytest.skip(f"waits for review: agentbench review {run.run_id}")
        if not missed:
            return
        rescued = self._rescued(session)
        if session.suite(self.path).mode == "gate":
            broken = any(attempt.failure for attempt in missed)
            self.user_properties.append((SHOWN_AS, "broken" if broken else "missed"))
        elif rescued:
            self.user_properties.append((SHOWN_AS, "rescued"))
        else:
            raise CaseFailed(_explain(self.case, missed, len(attempts), run.run_id))

    def _rescued(self, session: SuiteSession) -> bool:
        """Whether a rerun got the case right, where reruns are asked for."""
        if not session.option("flake_reruns"):
            return False
        number = session.reruns(self.path, self.selected()).rescued().get(self.case.id)
        if number is not None:
            self.user_properties.append(("agentbench_rescued_by_rerun", number))
            self.add_report_section("call", "agentbench", f"rescued by rerun {number}: case {self.case.id} is flaky")
        return number is not None


class GateItem(_SuiteItem):
    """Waits for all attempts of the suite's selected cases and judges them by the suite's gate."""

    def runtest(self) -> None:
        session = SuiteSession.of(self.config)
        case_ids = self.selected()
        run = session.run(self.path, case_ids)
        run.complete(case_ids)
        if session.option("flake_reruns"):
            session.reruns(self.path, case_ids).rescued()
        options = session.suite(self.path).gate
        if named := session.option("baseline"):
            options = options.model_copy(update={"baseline": named})
        gating = judge_run(session.store, session.store.get_run(run.run_id), options, case_ids)
        self.user_properties += gate_properties(gating)
        lines = gate_lines(gating)
        self.add_report_section("call", "gate", "\n".join(lines))
        if not gating.verdict.passed:
            raise GateFailed("\n".join(lines))


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
