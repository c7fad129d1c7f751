"""A suite.yaml as a pytest collector, with an item for each case; in mode `gate`, one more item decides."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.gate.judge import judge_run
from agentbench.plugin.session import SuiteSession
from agentbench.plugin.stash import SHOWN_AS, set_record
from agentbench.plugin.suite_run import SuiteRun
from agentbench.plugin.summary import case_properties, gate_properties
from agentbench.report.gate import gate_lines
from agentbench.suite.yaml_file import read_yaml

REQUIRED = frozenset({"dataset", "scorers", "agent"})
"""Keys that every suite must have."""

NOT_A_SUITE = (
    "If the file is another tool's, say which files are suites, in pytest's ini file:"
    " agentbench_suites = suites/*/suite.yaml"
)
GATE_ADDED = "note: The gate was not selected; it judges the selected cases all the same."


class CaseFailed(Exception):
    """The case did not pass; the item shows the message."""


class GateFailed(Exception):
    """The gate did not pass; the item shows the message."""


class SuiteCollector(pytest.File):
    """Collects the suite's cases that the session's options select, and then its gate."""

    def collect(self) -> Iterator[pytest.Item]:
        session = SuiteSession.of(self.config)
        set_record(self, "suite", self.path.parent.name)
        if self._is_foreign():
            session.leave_alone(self.path)
            return
        try:
            suite = session.suite(self.path)
        except UserError as error:
            raise self.CollectError(str(error)) from None
        for case in suite.cases:
            yield CaseItem.from_parent(self, name=case.id, case=case)
        if suite.mode == "gate":
            yield GateItem.from_parent(self, name="gate")

    def _is_foreign(self) -> bool:
        """Whether the file belongs to another tool: a mapping without any of a suite's required keys."""
        try:
            found = read_yaml(self.path).data
        except UserError as error:
            raise self.CollectError(f"{error}. {NOT_A_SUITE}") from None
        return bool(found) and not REQUIRED & found.keys() and not self.session.isinitpath(self.path)


def add_gates(items: list[pytest.Item]) -> list[pytest.Item]:
    """Adds the gate of each suite with selected cases but an unselected gate, after its last case. Returns the added
    gates.
    """
    last = {item.path: item for item in items if isinstance(item, CaseItem)}
    for path in {item.path for item in items if isinstance(item, GateItem)}:
        last.pop(path, None)
    added: list[pytest.Item] = []
    for case in last.values():
        suite = case.parent
        assert isinstance(suite, SuiteCollector)
        if SuiteSession.of(case.config).suite(case.path).mode == "gate":
            gate = GateItem.from_parent(suite, name="gate", added=True)
            items.insert(items.index(case) + 1, gate)
            added.append(gate)
    return added


class _Reason:
    """A failure's message in the form of pytest's reports; pytest before 9 drops plain text from its short summary."""

    def __init__(self, message: str) -> None:
        self.message = message

    @property
    def reprcrash(self) -> "_Reason":
        return self

    def toterminal(self, terminal: Any) -> None:
        terminal.line(self.message)

    def __str__(self) -> str:
        return self.message


class _SuiteItem(pytest.Item):
    """Shows the plugin's own failures as a message without a traceback."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.add_marker(pytest.mark.agent_suite(str(self.path.parent)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailed | GateFailed | UserError):
            return _Reason(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.path.parent.name}::{self.name}"

    kind: ClassVar[str]

    def started(self, session: SuiteSession) -> SuiteRun:
        """The run of the selected items. The item's report belongs to that run."""
        suite = session.suite(self.path).name
        set_record(self, self.kind, suite)
        run = session.run(self.path, self.selected())
        set_record(self, self.kind, suite, run.run_id)
        return run

    def selected(self) -> frozenset[str]:
        """The ids of the suite's selected cases; all of them when only the gate was selected."""
        items = (item for item in self.session.items if isinstance(item, CaseItem) and item.path == self.path)
        suite = SuiteSession.of(self.config).suite(self.path)
        return frozenset(item.case.id for item in items) or frozenset(case.id for case in suite.cases)


class CaseItem(_SuiteItem):
    """Passes when every repeat of its case passed.

    In mode `gate` the item never fails, since the gate decides: a wrong answer is shown as missed, and no answer as
    broken. In mode `strict` a case that passed in a rerun is shown as rescued and does not fail.
    """

    kind = "case"

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        session = SuiteSession.of(self.config)
        run = self.started(session)
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
        """Whether the case passed in a rerun, when reruns are enabled."""
        if not session.option("flake_reruns"):
            return False
        number = session.reruns(self.path, self.selected()).rescued().get(self.case.id)
        if number is not None:
            self.user_properties.append(("agentbench_rescued_by_rerun", number))
            self.add_report_section("call", "agentbench", f"rescued by rerun {number}: case {self.case.id} is flaky")
        return number is not None


class GateItem(_SuiteItem):
    """Waits for all attempts of the suite's selected cases and judges them by the suite's gate.

    `added` means that the gate itself was not selected but cases were; without it nothing would judge them.
    """

    kind = "gate"

    def __init__(self, *, added: bool = False, **rest: Any) -> None:
        super().__init__(**rest)
        self._added = added

    def runtest(self) -> None:
        session = SuiteSession.of(self.config)
        case_ids = self.selected()
        run = self.started(session)
        run.complete(case_ids)
        if session.option("flake_reruns"):
            session.reruns(self.path, case_ids).rescued()
        options = session.suite(self.path).gate
        if named := session.option("baseline"):
            options = options.model_copy(update={"baseline": named})
        stored = session.store.get_run(run.run_id)
        gating = judge_run(session.store, stored, options, case_ids, session.baselines)
        self.user_properties += gate_properties(gating)
        checks = [(check.said, check.passed) for check in gating.verdict.checks]
        set_record(self, self.kind, stored.suite, run.run_id, checks)
        lines = gate_lines(gating) + ([GATE_ADDED] if self._added else [])
        if not gating.verdict.passed:
            raise GateFailed("\n".join(lines))
        self.add_report_section("call", "gate", "\n".join(lines))


def _explain(case: Case, missed: list[Attempt], repeats: int, run_id: str) -> str:
    lines = [f"case {case.id}: {len(missed)} of {repeats} attempts did not pass"]
    for attempt in missed:
        lines += _reasons(attempt)
        lines += [f"  called {call.name}({dict(call.arguments)})" for call in attempt.trace.tool_calls]
        if attempt.trace.answer:
            lines.append(f"  answered {attempt.trace.answer[:500]!r}")
    lines.append(f"transcript: agentbench show {run_id} --case {case.id}")
    return "\n".join(lines)


def _reasons(attempt: Attempt) -> list[str]:
    head = f"repeat {attempt.repeat}: "
    if attempt.failure is not None:
        return [f"{head}{attempt.failure.kind} failure: {attempt.failure.message}"]
    return [f"{head}{score.name}: {score.reason}" for score in attempt.scores if score.passed is False]
