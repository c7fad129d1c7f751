"""Optuna's trials of a study, by the numbers of our candidates."""

import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tuners.search.candidate import Candidate
from tuners.search.journal import is_there, this_worker
from tuners.space.configuration import Configuration
from tuners.space.space import Settings, Space, label_of, suggest

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

SamplerName = Literal["tpe", "nsga2", "gp", "random"]

Sampler = Callable[[int], "BaseSampler"]
"""A candidate's number to its sampler."""

WORKER = "worker"
"""The attribute of a trial with the worker that asked for it."""

DECIDED = "decided"
"""The attribute of a trial with the values that its sampler decided jointly, stored before any of them is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """The sampler's settings for the candidate with this number."""

    number: int
    settings: Settings


class Trials:
    """Optuna's ask-and-tell interface. Candidate n is trial n − 1; candidate 0, the baseline, is no trial.

    `storage` contains `study`. Each trial's sampler is seeded with its number. A suggestion therefore depends on the
    study's seed and on the results told before, and a restarted process gets the same one.
    """

    def __init__(self, study: "Study", storage: "BaseStorage", space: Space, sampler: Sampler) -> None:
        self._study = study
        self._storage = storage
        self._space = space
        self._sampler = sampler
        self._worker = this_worker()
        self._open: dict[int, Trial] = {}

    @classmethod
    def in_memory(cls, space: Space, sampler: Sampler) -> "Trials":
        """Trials that are not stored."""
        import optuna

        storage = optuna.storages.InMemoryStorage()
        return cls(optuna.create_study(direction="maximize", storage=storage), storage, space, sampler)

    def ask_together(self, count: int, begun: Collection[int]) -> list[Suggestion]:
        """Suggestions until the number of trials is a multiple of `count`, at least one.

        Unfinished trials of workers that are gone are handed out again first, with the same values, unless their
        candidate is in `begun`.
        """
        left = [number for number in self._abandoned() if number not in begun]
        found = [self._suggestion(_with_decisions(self._reopen(number))) for number in left]
        while not found or self.count % count:
            found.append(self.ask())
        return found

    def ask(self) -> Suggestion:
        return self._suggestion(_with_decisions(self._new_trial()))

    def _new_trial(self) -> "Trial":
        self._study.sampler = self._sampler(self.count + 1)
        trial = self._study.ask()
        trial.set_user_attr(WORKER, self._worker)
        return trial

    def ask_for(self, settings: Settings) -> Suggestion:
        """A trial with exactly these values, which must all be choices."""
        values = {path: label_of(self._space.parameters[path], value) for path, value in settings.items()}
        self._study.enqueue_trial(values)
        return self._suggestion(self._new_trial())

    @property
    def count(self) -> int:
        """The number of trials of all workers."""
        return len(self._study.get_trials(deepcopy=False))

    @property
    def extended_at(self) -> int:
        """The number of trials when the space was extended; 0 for a space that was not."""
        return int(self._study.user_attrs.get("extended_at", 0))

    def _running(self) -> "list[FrozenTrial]":
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _abandoned(self) -> list[int]:
        """The candidates of running trials whose worker is gone."""
        running = [trial for trial in self._running() if trial.number + 1 not in self._open]
        return [
            trial.number + 1 for trial in running if not self._is_other_live_worker(trial.user_attrs.get(WORKER, ""))
        ]

    def _is_other_live_worker(self, worker: str) -> bool:
        """Whether this is another worker that is alive."""
        return worker not in ("", self._worker) and is_there(worker)

    def tell(self, candidate: Candidate) -> None:
        """Tells the sampler the candidate's quality (a projection if it was dropped) and by how much it exceeds limits.

        A trial that this or another worker finished before stays unchanged.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        trial = self._open.pop(candidate.number, None)
        if candidate.number not in [each.number + 1 for each in self._running()]:
            return
        with suppress(UpdateFinishedTrialError):
            self._tell(trial or self._reopen(candidate.number), candidate)

    def _tell(self, trial: "Trial", candidate: Candidate) -> None:
        excess = dict(candidate.excess)
        if candidate.end in ("broken", "forbidden"):
            excess["holds up"] = 1.0
        with warnings.catch_warnings():
            # A constraint that an interrupted process set before stays unchanged.
            warnings.simplefilter("ignore")
            for metric, beyond in excess.items():
                trial.set_constraint(metric, beyond)
        trial.set_user_attr("end", candidate.end)
        self._study.tell(trial, candidate.quality, skip_if_finished=True)

    def drop(self, number: int) -> None:
        """Ends the trial without a result for the sampler."""
        from optuna.trial import TrialState

        self._study.tell(self._open.pop(number), state=TrialState.FAIL, skip_if_finished=True)

    def _reopen(self, number: int) -> "Trial":
        """The stored trial of the candidate, with its sampler."""
        from optuna.trial import Trial

        self._study.sampler = self._sampler(number)
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(study, number - 1))

    def _suggestion(self, trial: "Trial") -> Suggestion:
        self._open[trial.number + 1] = trial
        return Suggestion(number=trial.number + 1, settings=suggest(self._space, trial))


def _with_decisions(trial: "Trial") -> "Trial":
    """The trial; its sampler's joint decisions are stored before any parameter is set."""
    if DECIDED not in trial.user_attrs and trial.relative_params:
        trial.set_user_attr(DECIDED, trial.relative_params)
    return trial


def grouped(suggested: Mapping[int, Configuration], now: str) -> dict[int, Configuration]:
    """The configurations ordered by their server, those that the server with the hash `now` can serve first."""
    return dict(sorted(suggested.items(), key=lambda each: (each[1].served != now, each[1].served, each[0])))
