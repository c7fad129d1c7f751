"""The fixture `agent_run`: a suite's run, and assertions about it, for tests written in Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agentbench.errors import UserError, unknown_name
from agentbench.experiment import backend_overrides, merged
from agentbench.gate import GateOptions, Slo
from agentbench.gating import Gating, judge_run
from agentbench.plugin.session import SuiteSession
from agentbench.plugin.suite_run import SuiteRun
from agentbench.report.gate_text import gate_lines
from agentbench.run import Run
from agentbench.score import Attempt
from agentbench.stats import mean_estimate
from agentbench.stats.outcomes import outcomes_of
from agentbench.stats.samples import passes
from agentbench.store import Store
from agentbench.suite import Suite, load_suite, suite_file

OPTIONS = ("repeats", "limit", "sample_seed", "backend", "set")


class AgentRun:
    """A suite's run in this session. Every assertion that fails says what was found, what changed and what shows it."""

    def __init__(self, suite: Suite, run: SuiteRun, store: Store) -> None:
        self._suite = suite
        self._run = run
        self._store = store

    @property
    def id(self) -> str:
        return self._run.run_id

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt; waits for them."""
        self._run.complete(frozenset(case.id for case in self._suite.cases))
        return self._store.attempts(self.id)

    def case(self, case_id: str) -> list[Attempt]:
        """The attempts of one case, in the order of repeats."""
        found = [attempt for attempt in self.attempts if attempt.case_id == case_id]
        if not found:
            raise unknown_name("case", case_id, {case.id for case in self._suite.cases})
        return sorted(found, key=lambda attempt: attempt.repeat)

    @property
    def pass_rate(self) -> float:
        """The mean over cases of the share of right attempts; failed ones are left out."""
        estimate = mean_estimate(passes(outcomes_of(self.attempts)))
        if estimate is None:
            raise AssertionError(f"run {self.id}: no attempt was graded")
        return estimate.value

    def assert_pass_rate(self, at_least: float) -> None:
        """As a gate's `min_pass_rate`: an attempt that its agent broke off is not right."""
        self._assert(min_pass_rate=at_least)

    def assert_not_worse_than(self, baseline: str, margin: float | None = None, alpha: float = 0.05) -> None:
        """Against a baseline's name or a run: shown not worse than `margin` (a fraction) when one is given, else not
        shown to be worse."""
        test = {"test": "regression"} if margin is None else {"test": "non_inferiority", "margin": margin}
        self._assert(baseline=baseline, alpha=alpha, **test)

    def assert_slo(self, **limits: str | float) -> None:
        """Serving figures such as `ttft_p95="500ms"`, `tpot_p50="40ms"`, `goodput=">=2/s"`."""
        self._assert(slo={name: _bound(name, limit) for name, limit in limits.items()})

    def _assert(self, **options: Any) -> None:
        __tracebackhide__ = True
        gating = self._gating(_gate(options))
        if not gating.verdict.passed:
            raise AssertionError(f"run {self.id}\n" + "\n".join(gate_lines(gating)))

    def _gating(self, options: GateOptions) -> Gating:
        assert self.attempts
        return judge_run(self._store, self.stored, options)

    @property
    def stored(self) -> Run:
        """The run as the store has it."""
        return self._store.get_run(self.id)


def _gate(options: Mapping[str, Any]) -> GateOptions:
    try:
        return GateOptions.model_validate(options)
    except ValidationError as error:
        finding = error.errors()[0]
        name = ".".join(map(str, finding["loc"]))
        raise UserError(f"{name} = {finding['input']!r}: {finding['msg']}") from None


def _bound(name: str, limit: str | float) -> str | float:
    """The number in ">=2/s" or "<=500ms"; the direction must be the metric's."""
    if name not in Slo.model_fields:
        raise unknown_name("objective", name, Slo.model_fields)
    if not isinstance(limit, str):
        return limit
    text = limit.strip()
    is_rate = name in ("goodput", "output_tokens_per_s")
    wrong = "<" if is_rate else ">"
    if text.startswith(wrong):
        raise UserError(
            f"{name} = {limit!r}: it is {'at least' if is_rate else 'at most'} its bound; leave {wrong!r} out"
        )
    return text.lstrip("<>= ").removesuffix("/s").strip()


def agent_run_of(request: pytest.FixtureRequest) -> AgentRun:
    """The run for the test's marker. A mistake in the marker fails the test with one line."""
    marker = request.node.get_closest_marker("agent_suite")
    if marker is None or len(marker.args) != 1:
        pytest.fail('agent_run needs a marker: @pytest.mark.agent_suite("suites/NAME", repeats=3)', pytrace=False)
    if unknown := set(marker.kwargs) - set(OPTIONS):
        pytest.fail(str(unknown_name("option of agent_suite", sorted(unknown)[0], OPTIONS)), pytrace=False)
    try:
        return _opened(SuiteSession.of(request.config), Path(marker.args[0]), marker.kwargs, request)
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


def _opened(session: SuiteSession, path: Path, options: Mapping[str, Any], request: pytest.FixtureRequest) -> AgentRun:
    file = suite_file(_found(path, request))
    overrides = _overrides(options)
    suite = load_suite(file, merged(session.overrides(), overrides)).drawn()
    run = session.private_run(suite, overrides)
    return AgentRun(suite, run, session.store)


def _found(path: Path, request: pytest.FixtureRequest) -> Path:
    """The suite from where pytest was started, else from its root, else from the test's own directory."""
    places = (request.config.invocation_params.dir, request.config.rootpath, request.path.parent)
    return next((place / path for place in places if (place / path).exists()), path)


def _overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    run = {f"run.{name}": options[name] for name in ("repeats", "limit", "sample_seed") if name in options}
    return merged(backend_overrides(options.get("backend")), options.get("set", {}), run)
