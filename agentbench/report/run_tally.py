"""A run's outcomes added up in one pass, none of them kept."""

from collections import Counter
from collections.abc import Iterable, Mapping

from agentbench.core.errors import FailureKind
from agentbench.report.outcomes import CaseCounts, CaseOutcome, verdict_of
from agentbench.stats import ServingSummary
from agentbench.stats.outcomes import Outcome, agent_failure_as_wrong
from agentbench.stats.samples import CaseIndex, CaseSamples, SampleColumn, pass_values, score_values
from agentbench.stats.serving import ServingTally


class RunTally:
    """What a run's view is made of. `verdicts` counts attempts; `failures` those that failed, by kind."""

    def __init__(self, outcomes: Iterable[Outcome], objectives: Mapping[str, float]) -> None:
        self.verdicts: Counter[str] = Counter()
        self.failures: Counter[FailureKind] = Counter()
        self._index = CaseIndex()
        self.cold_starts_s: list[float] = []
        self._cases = CaseCounts()
        self._passes = SampleColumn(self._index)
        self._gated = SampleColumn(self._index)
        self._ttft = SampleColumn(self._index)
        self._scores: dict[str, SampleColumn] = {}
        self._serving = ServingTally(objectives)
        for outcome in outcomes:
            self._add(outcome)

    def _add(self, outcome: Outcome) -> None:
        number = self._index.number(outcome)
        self.verdicts[verdict_of(outcome)] += 1
        if outcome.failure:
            self.failures[outcome.failure] += 1
        self._cases.add(number, outcome)
        self._passes.add(number, pass_values(outcome))
        self._gated.add(number, pass_values(agent_failure_as_wrong(outcome)))
        self._ttft.add(number, outcome.ttft_s)
        for name in outcome.scores:
            column = self._scores.setdefault(name, SampleColumn(self._index))
            column.add(number, score_values(outcome, name))
        self._serving.add(outcome)
        if outcome.cold_start_s is not None:
            self.cold_starts_s.append(outcome.cold_start_s)

    def passes(self) -> CaseSamples:
        return self._passes.samples()

    def passes_as_gated(self) -> CaseSamples:
        """The verdicts with the agent's failures as wrong answers, as a gate counts them."""
        return self._gated.samples()

    def ttft(self) -> CaseSamples:
        return self._ttft.samples()

    def scores(self) -> Mapping[str, CaseSamples]:
        """The values of each scorer, in the order they are first seen."""
        return {name: column.samples() for name, column in self._scores.items()}

    def serving(self) -> ServingSummary:
        return self._serving.summary()

    def cases(self) -> tuple[CaseOutcome, ...]:
        return self._cases.outcomes(self._index)
