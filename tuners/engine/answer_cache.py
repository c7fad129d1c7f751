"""The answers of a study in the store: no answer is computed twice."""

from collections.abc import Iterable, Mapping, Sequence

from agentbench.core.attempt import Attempt
from agentbench.core.protocols import Endpoint
from agentbench.core.study import Purpose, StudyRun
from agentbench.gate.baseline import stored_outcomes
from agentbench.run.experiment import Experiment, plan
from agentbench.run.runner import Job
from agentbench.stats import Outcome
from agentbench.stats.outcomes import AGENT_FAILURES, agent_failures_as_wrong
from agentbench.store import Store
from agentbench.suite.config import as_mapping
from tuners.space.configuration import Configuration
from tuners.study.study import Study

Keys = set[tuple[str, int]]
"""Case ids with the number of a repeat."""


class AnsweredCases:
    """The runs of a study: one for each configuration, cases and purpose; their attempts are the cache.

    Runs whose configurations differ in nothing that decides an answer share their answers, and only those: times are
    of the run's own attempts. A search shares them with those of other studies in the store too, on its own train
    cases; what is asked for a verdict is asked anew.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self._store = store
        self._study = study.name
        self._split = study.split
        self._train = frozenset(study.split.train)
        self._made_of = study.made_of()
        self._opened: dict[str, Experiment] = {}

    def experiment(self, configuration: Configuration, purpose: Purpose) -> Experiment:
        """The run for this purpose, made when there is none yet: on the cases of test, or on those of train."""
        cases = self._split.test if purpose == "test" else self._split.train
        suite = configuration.suite.only(frozenset(cases))
        found = self.find(configuration, purpose)
        if found is None:
            facts = {
                "study": {"name": self._study, "purpose": purpose, "settings": dict(configuration.settings)},
                "made_of": dict(self._made_of),
            }
            made = plan(suite, self._store, f"study:{self._study}", facts, "study")
            self._store.studies.add_run(
                StudyRun(
                    study=self._study,
                    purpose=purpose,
                    answers=configuration.answers,
                    config_hash=configuration.config_hash,
                    run_id=made.run.id,
                )
            )
            found = self.find(configuration, purpose)
            assert found is not None
            if found != made.run.id:
                self._store.discard_empty(made.run.id)
        experiment = Experiment(run=self._store.get_run(found), suite=suite)
        self._opened[found] = experiment
        return experiment

    def find(self, configuration: Configuration, purpose: Purpose) -> str | None:
        """The id of the run of this very configuration, None where there is none."""
        runs = self._store.studies.runs(self._study, purpose, configuration.answers)
        return next((run.run_id for run in runs if run.config_hash == configuration.config_hash), None)

    def jobs(self, experiment: Experiment, cases: Sequence[str], known: Iterable[Outcome]) -> list[Job]:
        """What of the cases has no answer yet, in their order, one repeat of all after the other.

        An attempt of this run that failed is not made again: it was tried twice.
        """
        have = {(outcome.case_id, outcome.repeat) for outcome in known} | self._store.stored_keys(experiment.run.id)
        by_id = {case.id: case for case in experiment.suite.cases}
        return [
            Job(case=by_id[case_id], repeat=repeat)
            for repeat in range(experiment.run.repeats)
            for case_id in cases
            if (case_id, repeat) not in have
        ]

    def forget(self, run_id: str, keys: Keys) -> None:
        """Those of the attempts that failed without the agent's doing, so that they can be made again."""
        self._store.studies.forget_failed(run_id, keys, AGENT_FAILURES)

    def outcomes(self, configuration: Configuration, purpose: Purpose) -> list[Outcome]:
        """Every answer there is, of whichever run; without what failed for reasons that are not the agent's."""
        found: dict[tuple[str, int], Outcome] = {}
        for run in self._runs(configuration, purpose):
            for outcome in agent_failures_as_wrong(stored_outcomes(self._store, run.run_id)):
                if outcome.failure is None and self._is_known(outcome.case_id, purpose):
                    found.setdefault((outcome.case_id, outcome.repeat), outcome)
        return list(found.values())

    def _runs(self, configuration: Configuration, purpose: Purpose) -> list[StudyRun]:
        """Those of this study first."""
        study = None if purpose == "search" else self._study
        found = self._store.studies.runs(study, purpose, configuration.answers)
        return sorted(found, key=lambda run: run.study != self._study)

    def _is_known(self, case_id: str, purpose: Purpose) -> bool:
        """Whether a search may see what was answered to the case: another study's train cases may be ours for test."""
        return purpose != "search" or case_id in self._train

    def is_answered_by(self, configuration: Configuration) -> bool:
        """Whether its very server has answered an attempt in this study."""
        serving = as_mapping(configuration.suite.config)["serving"]
        runs = (self._store.get_run(each.run_id) for each in self._store.studies.runs(self._study))
        alike = (run.id for run in runs if run.config.get("serving") == serving)
        return any(verdict is not None for run_id in alike for _, _, verdict in self._store.verdicts(run_id))

    def was_reached(self, configuration: Configuration) -> bool:
        """Whether its server, which is somebody else's, was there in this study, in whichever process."""
        runs = (self._store.get_run(each.run_id) for each in self._store.studies.runs(self._study))
        return any(run.environment.get("server", {}).get("base_url") == configuration.base_url for run in runs)

    def keep_server(self, run_id: str, endpoint: Endpoint | None) -> None:
        """What the run's server says of itself, with the run."""
        self._store.update_environment(run_id, {"server": dict(endpoint.info) if endpoint else {}})

    def stored_keys(self, run_id: str) -> Keys:
        """What is stored of this very run, failed or not."""
        return self._store.stored_keys(run_id)

    def own(self, run_id: str, keys: Keys) -> list[Outcome]:
        """The outcomes of this very run, of these cases and repeats."""
        return [each for each in stored_outcomes(self._store, run_id) if (each.case_id, each.repeat) in keys]

    def failure(self, run_id: str) -> str:
        """Why an attempt of this run failed without the agent's doing."""
        failures = (each.failure for each in self._store.attempts(run_id))
        return next(
            (
                f"{each.kind}: {each.message}"
                for each in failures
                if each is not None and each.kind not in AGENT_FAILURES
            ),
            "no reason is known",
        )

    def attempts(self, configuration: Configuration) -> list[Attempt]:
        """Whole attempts of the search that did not fail, one for each case and repeat."""
        found: dict[tuple[str, int], Attempt] = {}
        for run in self._runs(configuration, "search"):
            for attempt in self._store.attempts(run.run_id):
                if attempt.failure is None and self._is_known(attempt.case_id, "search"):
                    found.setdefault((attempt.case_id, attempt.repeat), attempt)
        return list(found.values())

    def close(self) -> None:
        """The runs that this process opened end: finished where every planned attempt is there."""
        for run_id, experiment in self._opened.items():
            done = experiment.is_done(self._store.stored_keys(run_id))
            self._store.set_status(run_id, "finished" if done else "interrupted")


def mean_scores(outcomes: Iterable[Outcome]) -> Mapping[str, float]:
    """Case id to the share of its repeats that were right; one that failed, for whatever reason, was not."""
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.passed is not None or outcome.failure is not None:
            values.setdefault(outcome.case_id, []).append(float(outcome.passed or False))
    return {case_id: sum(each) / len(each) for case_id, each in values.items()}
