"""The cache of a study's answers, in the store: no answer is computed twice."""

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
"""Case id and repeat of each attempt."""


class AnswerCache:
    """The runs of a study, one for each configuration and purpose; their attempts are the cache.

    Runs share answers when their configurations have the same `answers` hash. They do not share times. A search also
    uses the answers of other studies in the store, but only to its own train cases. A verdict uses its own answers.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self._store = store
        self._study = study.name
        self._split = study.split
        self._train = frozenset(study.split.train)
        self._part_hashes = study.part_hashes()
        self._experiments: dict[str, Experiment] = {}

    def experiment(self, configuration: Configuration, purpose: Purpose) -> Experiment:
        """The configuration's run for this purpose, created if needed, with its suite.

        It has the test cases for the purpose `test`, otherwise the train cases.
        """
        cases = self._split.test if purpose == "test" else self._split.train
        suite = configuration.suite.only(frozenset(cases))
        run_id = self.find(configuration, purpose)
        if run_id is None:
            facts = {
                "study": {"name": self._study, "purpose": purpose, "settings": dict(configuration.settings)},
                "made_of": dict(self._part_hashes),
            }
            created = plan(suite, self._store, f"study:{self._study}", facts, "study")
            self._store.studies.add_run(
                StudyRun(
                    study=self._study,
                    purpose=purpose,
                    answers=configuration.answers,
                    config_hash=configuration.config_hash,
                    run_id=created.run.id,
                )
            )
            run_id = self.find(configuration, purpose)
            assert run_id is not None
            if run_id != created.run.id:  # another worker's run was first
                self._store.discard_empty(created.run.id)
        experiment = Experiment(run=self._store.get_run(run_id), suite=suite)
        self._experiments[run_id] = experiment
        return experiment

    def find(self, configuration: Configuration, purpose: Purpose) -> str | None:
        """The id of this study's run of exactly this configuration; None without one."""
        runs = self._store.studies.runs(self._study, purpose, configuration.answers)
        return next((run.run_id for run in runs if run.config_hash == configuration.config_hash), None)

    def jobs(self, experiment: Experiment, cases: Sequence[str], outcomes: Iterable[Outcome]) -> list[Job]:
        """The attempts at the cases that are neither in `outcomes` nor stored in this run, repeat by repeat.

        A stored attempt is not run again, even when it failed: `delete_failed` comes first.
        """
        have = {(outcome.case_id, outcome.repeat) for outcome in outcomes} | self._store.stored_keys(experiment.run.id)
        by_id = {case.id: case for case in experiment.suite.cases}
        return [
            Job(case=by_id[case_id], repeat=repeat)
            for repeat in range(experiment.run.repeats)
            for case_id in cases
            if (case_id, repeat) not in have
        ]

    def delete_failed(self, run_id: str, keys: Keys) -> None:
        """Deletes those of the run's attempts that failed without the agent's fault, so that they can run again."""
        self._store.studies.forget_failed(run_id, keys, AGENT_FAILURES)

    def outcomes(self, configuration: Configuration, purpose: Purpose) -> list[Outcome]:
        """One outcome for each case and repeat, from all runs that share the configuration's answers.

        An agent's failure counts as wrong. Other failures are left out.
        """
        found: dict[tuple[str, int], Outcome] = {}
        for run in self._runs(configuration, purpose):
            for outcome in agent_failures_as_wrong(stored_outcomes(self._store, run.run_id)):
                if outcome.failure is None and self._may_see(outcome.case_id, purpose):
                    found.setdefault((outcome.case_id, outcome.repeat), outcome)
        return list(found.values())

    def _runs(self, configuration: Configuration, purpose: Purpose) -> list[StudyRun]:
        """The runs that share the configuration's answers, those of this study first."""
        study = None if purpose == "search" else self._study
        found = self._store.studies.runs(study, purpose, configuration.answers)
        return sorted(found, key=lambda run: run.study != self._study)

    def _may_see(self, case_id: str, purpose: Purpose) -> bool:
        """Whether answers to the case may be used: a search may not see another study's answers to our test cases."""
        return purpose != "search" or case_id in self._train

    def has_answer_of_server(self, configuration: Configuration) -> bool:
        """Whether a server with the configuration's `serving` section has answered an attempt of this study."""
        serving = as_mapping(configuration.suite.config)["serving"]
        runs = (self._store.get_run(each.run_id) for each in self._store.studies.runs(self._study))
        alike = (run.id for run in runs if run.config.get("serving") == serving)
        return any(verdict is not None for run_id in alike for _, _, verdict in self._store.verdicts(run_id))

    def was_reached(self, configuration: Configuration) -> bool:
        """Whether the external server at the configuration's URL was reached in this study, by any process."""
        runs = (self._store.get_run(each.run_id) for each in self._store.studies.runs(self._study))
        return any(run.environment.get("server", {}).get("base_url") == configuration.base_url for run in runs)

    def store_server(self, run_id: str, endpoint: Endpoint | None) -> None:
        """Stores the server's description of itself with the run."""
        self._store.update_environment(run_id, {"server": dict(endpoint.info) if endpoint else {}})

    def stored_keys(self, run_id: str) -> Keys:
        """The case and repeat of each attempt stored in this run, failed or not."""
        return self._store.stored_keys(run_id)

    def run_outcomes(self, run_id: str, keys: Keys) -> list[Outcome]:
        """The outcomes of this run alone, at these cases and repeats."""
        return [each for each in stored_outcomes(self._store, run_id) if (each.case_id, each.repeat) in keys]

    def failure(self, run_id: str) -> str:
        """The run's first failure without the agent's fault, as `kind: message`."""
        failures = (each.failure for each in self._store.attempts(run_id))
        return next(
            (
                f"{each.kind}: {each.message}"
                for each in failures
                if each is not None and each.kind not in AGENT_FAILURES
            ),
            "no reason was recorded",
        )

    def attempts(self, configuration: Configuration) -> list[Attempt]:
        """The search's attempts under this configuration that did not fail, one for each case and repeat."""
        found: dict[tuple[str, int], Attempt] = {}
        for run in self._runs(configuration, "search"):
            for attempt in self._store.attempts(run.run_id):
                if attempt.failure is None and self._may_see(attempt.case_id, "search"):
                    found.setdefault((attempt.case_id, attempt.repeat), attempt)
        return list(found.values())

    def close(self) -> None:
        """Ends the runs that this process opened: finished when all planned attempts are stored, else interrupted."""
        for run_id, experiment in self._experiments.items():
            done = experiment.is_done(self._store.stored_keys(run_id))
            self._store.set_status(run_id, "finished" if done else "interrupted")


def mean_scores(outcomes: Iterable[Outcome]) -> Mapping[str, float]:
    """Case id to the share of its repeats that passed, from 0 to 1; a failed repeat did not pass.

    Repeats without a verdict or a failure are left out.
    """
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.passed is not None or outcome.failure is not None:
            values.setdefault(outcome.case_id, []).append(float(outcome.passed or False))
    return {case_id: sum(each) / len(each) for case_id, each in values.items()}
