"""The sampler's side of a study: Optuna's trials, by the numbers of our candidates."""

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
"""The sampler of a candidate's number."""

WORKER = "worker"
"""The attribute of a trial that says who asked for it."""

DECIDED = "decided"
"""The attribute of a trial that holds what its sampler decided on together, before any of it was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What the sampler suggests for the candidate of this number."""

    number: int
    settings: Settings


class Trials:
    """Asks and tells. Candidate n is trial n − 1: the baseline, candidate 0, is no trial. `storage` is what the study
    is in.

    Each trial's sampler is seeded by its number, so that what it suggests depends on the study's seed and on what was
    told before, not on whether the process is the one that began.
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
        """Trials that nothing keeps."""
        import optuna

        storage = optuna.storages.InMemoryStorage()
        return cls(optuna.create_study(direction="maximize", storage=storage), storage, space, sampler)

    def ask_together(self, count: int, begun: Collection[int]) -> list[Suggestion]:
        """Suggestions whose numbers fill up a group of `count`: what its workers left of the group they were in comes
        again, with the values it had, and the candidates in `begun` do not."""
        left = [number for number in self._left() if number not in begun]
        found = [self._suggested(_decided(self._reopened(number))) for number in left]
        while not found or self.count % count:
            found.append(self.ask())
        return found

    def ask(self) -> Suggestion:
        return self._suggested(_decided(self._asked()))

    def _asked(self) -> "Trial":
        self._study.sampler = self._sampler(self.count + 1)
        trial = self._study.ask()
        trial.set_user_attr(WORKER, self._worker)
        return trial

    def ask_for(self, settings: Settings) -> Suggestion:
        """A trial of these very values, all of them choices."""
        values = {path: label_of(self._space.parameters[path], value) for path, value in settings.items()}
        self._study.enqueue_trial(values)
        return self._suggested(self._asked())

    @property
    def count(self) -> int:
        """How many were asked for, by whichever worker."""
        return len(self._study.get_trials(deepcopy=False))

    @property
    def extended_at(self) -> int:
        """How many there were when the space got more choices; 0 for a space as it was."""
        return int(self._study.user_attrs.get("extended_at", 0))

    def _running(self) -> "list[FrozenTrial]":
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _left(self) -> list[int]:
        """The candidates that a worker asked for and that it is not there to try."""
        running = [trial for trial in self._running() if trial.number + 1 not in self._open]
        return [trial.number + 1 for trial in running if not self._is_waiting(trial.user_attrs.get(WORKER, ""))]

    def _is_waiting(self, worker: str) -> bool:
        return worker not in ("", self._worker) and is_there(worker)

    def tell(self, candidate: Candidate) -> None:
        """The sampler learns the quality, projected where the candidate was dropped, and how far it is beyond limits.

        A candidate that was told already, by this worker or another, is left as it is.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        trial = self._open.pop(candidate.number, None)
        if candidate.number not in [each.number + 1 for each in self._running()]:
            return
        with suppress(UpdateFinishedTrialError):
            self._tell(trial or self._reopened(candidate.number), candidate)

    def _tell(self, trial: "Trial", candidate: Candidate) -> None:
        excess = dict(candidate.excess)
        if candidate.end in ("broken", "forbidden"):
            excess["holds up"] = 1.0
        with warnings.catch_warnings():
            # A constraint that was set before we were killed stays as it was.
            warnings.simplefilter("ignore")
            for metric, beyond in excess.items():
                trial.set_constraint(metric, beyond)
        trial.set_user_attr("end", candidate.end)
        self._study.tell(trial, candidate.quality, skip_if_finished=True)

    def drop(self, number: int) -> None:
        """The sampler learns nothing of this trial."""
        from optuna.trial import TrialState

        self._study.tell(self._open.pop(number), state=TrialState.FAIL, skip_if_finished=True)

    def _reopened(self, number: int) -> "Trial":
        from optuna.trial import Trial

        self._study.sampler = self._sampler(number)
        study = self._storage.get_study_id_from_name(self._study.study_name)
        return Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(study, number - 1))

    def _suggested(self, trial: "Trial") -> Suggestion:
        self._open[trial.number + 1] = trial
        return Suggestion(number=trial.number + 1, settings=suggest(self._space, trial))


def _decided(trial: "Trial") -> "Trial":
    """The trial, with what its sampler decides for its parameters together kept before any of them is set."""
    if DECIDED not in trial.user_attrs and trial.relative_params:
        trial.set_user_attr(DECIDED, trial.relative_params)
    return trial


def grouped(asked: Mapping[int, Configuration], now: str) -> dict[int, Configuration]:
    """In groups that share a server: first the group that shares the one that runs `now`."""
    return dict(sorted(asked.items(), key=lambda each: (each[1].served != now, each[1].served, each[0])))
