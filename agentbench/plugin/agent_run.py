"""The fixture `agent_run`: a suite's run with assertions about it, for Python tests."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from agentbench.core.attempt import Attempt
from agentbench.core.errors import UserError, unknown_name
from agentbench.core.run import Run
from agentbench.gate.baseline import stored_outcomes
from agentbench.gate.judge import judge_run
from agentbench.plugin.session import SuiteSession
from agentbench.plugin.stash import Checks, set_record
from agentbench.plugin.suite_run import SuiteRun
from agentbench.report.gate import gate_lines
from agentbench.run.experiment import backend_overrides, merged
from agentbench.stats import mean_estimate
from agentbench.stats.outcomes import Outcome, agent_failures_as_wrong
from agentbench.stats.samples import passes
from agentbench.suite.config import SECTIONS, GateOptions, Slo
from agentbench.suite.suite import Suite, load_suite, suite_file
from agentbench.suite.validation import validate

OPTIONS = ("repeats", "limit", "sample_seed", "backend", "set")


class AgentRun:
    """A suite's run in this session. A failing assertion shows the figure, the changed cases, and commands to inspect
    them.
    """

    def __init__(self, suite: Suite, run: SuiteRun, session: SuiteSession, checks: Checks) -> None:
        self._case_ids = frozenset(case.id for case in suite.cases)
        self._run = run
        self._store = session.store
        self._baselines = session.baselines
        self._checks = checks

    @property
    def id(self) -> str:
        return self._run.run_id

    @property
    def stored(self) -> Run:
        """The stored run with all its attempts; waits for them."""
        self._run.complete(self._case_ids)
        return self._store.get_run(self.id)

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Every attempt in full."""
        return self._store.attempts(self.stored.id)

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """Verdict, scores, latencies and tokens of every attempt, without its texts."""
        return stored_outcomes(self._store, self.stored.id)

    def case(self, case_id: str) -> list[Attempt]:
        """The attempts of one case, in the order of repeats."""
        if case_id not in self._case_ids:
            raise unknown_name("case", case_id, self._case_ids)
        found = (self._store.attempt(self.stored.id, case_id, repeat) for repeat in range(self.stored.repeats))
        return [attempt for attempt in found if attempt is not None]

    @property
    def pass_rate(self) -> float:
        """The mean over cases of the share of right attempts, without failed ones."""
        estimate = mean_estimate(passes(self.outcomes))
        if estimate is None:
            raise AssertionError(f"run {self.id}: no attempt was graded")
        return estimate.value

    def assert_pass_rate(self, at_least: float, confidence: float | None = None) -> None:
        """Like a gate's `min_pass_rate`: an attempt that the agent failed counts as not right.

        With a `confidence` (0.95), the lower end of the rate's interval must be that high, not just the observed rate.
        """
        __tracebackhide__ = True
        self._assert(min_pass_rate=at_least)
        if confidence is not None:
            self._assert_bound(at_least, confidence)

    def assert_not_worse_than(self, baseline: str, margin: float | None = None, alpha: float = 0.05) -> None:
        """Compares with a baseline's name or a run. With `margin` (a fraction), the run must be shown to be not worse
        than that; without it, the run must not be shown to be worse.
        """
        __tracebackhide__ = True
        if not baseline.strip():
            raise UserError(f"assert_not_worse_than({baseline!r}): name a baseline or a run, for example 'main'")
        test = {"test": "regression"} if margin is None else {"test": "non_inferiority", "margin": margin}
        self._assert(baseline=baseline, alpha=alpha, **test)

    def assert_slo(self, **limits: str | float) -> None:
        """Serving figures such as `ttft_p95="500ms"`, `tpot_p50="40ms"`, `goodput=">=2/s"`."""
        __tracebackhide__ = True
        if not limits:
            raise UserError(f"assert_slo() has no limit; give one or more of {', '.join(sorted(Slo.model_fields))}")
        self._assert(slo={name: _bound(name, limit) for name, limit in limits.items()})

    def _assert(self, **options: Any) -> None:
        __tracebackhide__ = True
        gating = judge_run(self._store, self.stored, _gate(options), directory=self._baselines)
        checks = (check for check in gating.verdict.checks if check.name != "failures" or not check.passed)
        self._checks += [(check.said, check.passed) for check in checks]
        if not gating.verdict.passed:
            raise AssertionError(f"run {self.id}\n" + "\n".join(gate_lines(gating)))

    def _assert_bound(self, at_least: float, confidence: float) -> None:
        __tracebackhide__ = True
        if not 0 < confidence < 1:
            raise UserError(f"confidence = {confidence!r}: a fraction between 0 and 1, for example 0.95")
        found = mean_estimate(passes(agent_failures_as_wrong(self.outcomes)), confidence)
        low = None if found is None else found.low
        holds = low is not None and low >= at_least
        text = (
            f"the pass rate's lower bound at {100 * confidence:g} % confidence is"
            f" {'unknown' if low is None else f'{100 * low:.1f} %'}, {'at least' if holds else 'below'}"
            f" {100 * at_least:g} %"
        )
        self._checks.append((text, holds))
        if not holds:
            raise AssertionError(f"run {self.id}\nFAIL {text}: agentbench show {self.id}")


def _gate(options: Mapping[str, Any]) -> GateOptions:
    __tracebackhide__ = True
    return validate(GateOptions, options, lambda location: "agent_run")


def _bound(name: str, limit: str | float) -> str | float:
    """The number in ">=2/s" or "<=500ms"; the direction must be the metric's."""
    __tracebackhide__ = True
    if name not in Slo.model_fields:
        raise unknown_name("objective", name, Slo.model_fields)
    if not isinstance(limit, str):
        return limit
    text = limit.strip()
    is_rate = name in ("goodput", "output_tokens_per_s")
    wrong = "<" if is_rate else ">"
    if text.startswith(wrong):
        raise UserError(
            f"{name} = {limit!r}: the bound of {name} is always {'a minimum' if is_rate else 'a maximum'};"
            f" leave {wrong!r} out"
        )
    return text.lstrip("<>= ").removesuffix("/s").strip()


def agent_run_of(request: pytest.FixtureRequest) -> AgentRun:
    """The run for the test's marker. A mistake in the marker fails the test with one line."""
    marker = request.node.get_closest_marker("agent_suite")
    if marker is None or len(marker.args) != 1:
        pytest.fail('agent_run needs a marker: @pytest.mark.agent_suite("suites/NAME", repeats=3)', pytrace=False)
    if unknown := set(marker.kwargs) - set(OPTIONS):
        pytest.fail(str(unknown_name("option of agent_suite", sorted(unknown)[0], OPTIONS)), pytrace=False)
    set_record(request.node, "test", str(marker.args[0]))
    try:
        return _opened(SuiteSession.of(request.config), Path(marker.args[0]), marker.kwargs, request)
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


def _opened(session: SuiteSession, path: Path, options: Mapping[str, Any], request: pytest.FixtureRequest) -> AgentRun:
    file = suite_file(_found(path, request))
    overrides = _overrides(options)
    suite = load_suite(file, merged(session.overrides(), overrides)).drawn()
    run = session.private_run(suite, overrides)
    checks: Checks = []
    set_record(request.node, "test", suite.name, run.run_id, checks)
    return AgentRun(suite, run, session, checks)


def _found(path: Path, request: pytest.FixtureRequest) -> Path:
    """The suite, relative to the directory where pytest was started, to its root, or to the test's own directory."""
    places = (request.config.invocation_params.dir, request.config.rootpath, request.path.parent)
    return next((place / path for place in places if (place / path).exists()), path)


def _overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    settings = options.get("set", {})
    wrong = next((path for path in settings if str(path).split(".")[0] not in SECTIONS), None)
    if not isinstance(settings, Mapping) or wrong is not None:
        raise UserError(
            f"agent_suite: set = {settings!r}: expected paths under {', '.join(SECTIONS)} and their values,"
            ' for example set={"agent.output": "free"}'
        )
    run = {f"run.{name}": options[name] for name in ("repeats", "limit", "sample_seed") if name in options}
    return merged(backend_overrides(options.get("backend")), settings, run)
