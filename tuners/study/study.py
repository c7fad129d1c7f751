"""A study: its file, its suite and its split of the cases; made from a file, or found in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.core.study import StudyRecord
from agentbench.run.sources import NamedFiles, PartHashes, changed, graded_by
from agentbench.store import Store
from agentbench.suite.config import as_mapping, canonical_hash
from agentbench.suite.suite import Suite, load_suite
from tuners.search.evaluator import limits_of
from tuners.search.journal import at_work, this_worker
from tuners.search.optuna_storage import extend_trials
from tuners.search.rungs import plan_rungs
from tuners.search.search import Plan
from tuners.space.configuration import configured, lossless_knobs
from tuners.space.parameters import Choices, Parameter, same
from tuners.space.space import Space
from tuners.study.check import check_study, example_settings
from tuners.study.file import Split, StudyFile, checked_study, overridden, read_study, split_cases

CONFIGURING = ("baseline", "references", "space")
"""The keys of a study.yaml whose values become parts of configurations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A checked study.

    `suite` has the cases of train and test and its own configuration, without the baseline's settings. `document` is
    the content of the study's file, from which the study can be made again.
    """

    file: StudyFile
    document: Mapping[str, Any]
    suite: Suite
    split: Split

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def train(self) -> dict[str, Case]:
        """The train cases by id."""
        chosen = frozenset(self.split.train)
        return {case.id: case for case in self.suite.cases if case.id in chosen}

    def part_hashes(self) -> PartHashes:
        """The hashes of the suite's parts and of the files that they and the study name."""
        return _part_hashes(self.suite, self.document)

    def spaces(self) -> tuple[Space, Space]:
        """The space of the sampler, and the space of the lossless knobs that are tuned by replay.

        In a flat search, the sampler has all parameters.
        """
        space = self.file.parameters()
        knobs = self._lossless(space)
        inner = frozenset(path for path in space.parameters if path.removeprefix("serving.") in knobs)
        if self.file.search == "flat":
            return space, Space(parameters={})
        return space.only(frozenset(space.parameters) - inner), space.only(inner)

    def _lossless(self, space: Space) -> frozenset[str]:
        """The knobs that are lossless under every value of the server's other parameters, such as `compile`."""
        baseline = self.file.baseline
        knobs = lossless_knobs(configured(self.suite, baseline))
        for path, settings in example_settings(space):
            if path.startswith("serving.") and path.removeprefix("serving.") not in knobs:
                knobs &= lossless_knobs(configured(self.suite, {**baseline, **settings}))
        return knobs

    def plan(self) -> Plan:
        """The search's fixed parameters."""
        outer, inner = self.spaces()
        options, train = self.file.rungs, self.train
        sizes = options.sizes if self.file.search == "factorized" else ()
        return Plan(
            outer=outer,
            inner=inner,
            rungs=plan_rungs(list(train.values()), sizes, options.alpha, self.file.seed),
            clusters={case_id: case.cluster for case_id, case in train.items()},
            objectives=self.file.objectives,
            limits=limits_of(self.file.bounds()),
            opening=options.opening,
            together=options.together,
            max_failures=self.file.max_failures,
            seed=self.file.seed,
        )


def make_study(path: Path, overrides: Mapping[str, Any]) -> Study:
    """The checked study in the file, with the `overrides` by path; nothing is started or stored.

    `UserError` names the place of an error in the file.
    """
    file, document, where = read_study(path, overrides)
    suite = _suite(file)
    check_study(file, suite, where)
    return Study(file=file, document=document, suite=suite, split=split_cases(suite.cases, file.split))


def find_study(name: str, store: Store, overrides: Mapping[str, Any], db: str | None = None) -> Study:
    """The study of this name in the store; `overrides` may change its budget and extend its lists of choices.

    `UserError` when there is none, for another override, and when the suite has changed since the study started.
    """
    if other := next((path for path in overrides if path.split(".")[0] not in ("budget", "space")), None):
        raise UserError(
            f"--set {other}: a study that continues may only change its budget or get more choices"
            " (space.PATH=[OLD CHOICES, NEW ONES]); for another change, start a study with another name"
        )
    record = store.studies.get(name)
    if overrides and record.verdict.get("runs"):
        raise UserError(
            f"study {name} has its verdict, so its test cases are used up. Start a study with another name; it reuses"
            " the stored answers of this one"
        )
    document = overridden(record.document, overrides)
    file = checked_study(document, lambda location: f"study {name}")
    suite = _suite(file)
    if suite.content_hash() != record.suite_hash:
        raise UserError(
            f"study {name} can't continue: the cases of {record.suite_path} have changed since it was started"
        )
    _check_parts(name, store, suite, record.document)
    split = Split(train=tuple(record.split["train"]), test=tuple(record.split["test"]))
    study = Study(file=file, document=document, suite=suite, split=split)
    if overrides:
        before = replace(study, file=checked_study(record.document, lambda location: f"study {name}"))
        _extend(before, study, store, db)
        store.studies.set_document(name, document, canonical_hash(document))
        # A verdict that used no test case is not final.
        store.studies.reopen(name)
    return study


def _extend(before: Study, study: Study, store: Store, db: str | None) -> None:
    """Extends the sampler's trials to the new choices; `UserError` when the space has another change."""
    if before.file.space == study.file.space:
        return
    name = study.name
    for path, parameter in study.file.space.items():
        old = before.file.space.get(path)
        if old != parameter and not (old is not None and _has_more(old, parameter)):
            raise UserError(
                f"study {name}: space.{path} may only get more choices, after those it has:"
                f" {_choices_of(old) if old is not None else 'it is not in the space'}; for another change, start a"
                " study with another name"
            )
    others = (each for each in store.studies.begun(name, ended=False) if each.worker != this_worker())
    if working := [each.worker for each in others if at_work(each)]:
        raise UserError(
            f"study {name}: worker {working[0]} is still running; extend it when all its workers have ended"
        )
    check_study(study.file, study.suite, lambda location: f"study {name}")
    extend_trials(db, name, before.spaces()[0], study.spaces()[0])


def _has_more(old: Parameter, new: Parameter) -> bool:
    if not isinstance(old, Choices) or not isinstance(new, Choices) or old.when != new.when:
        return False
    return same(list(old.choices), list(new.choices[: len(old.choices)]))


def _choices_of(parameter: Parameter) -> str:
    return str(list(parameter.choices)) if isinstance(parameter, Choices) else "it is no list of choices"


def _check_parts(name: str, store: Store, suite: Suite, document: Mapping[str, Any]) -> None:
    """`UserError` when a part of the suite, or a file that it names, has changed since the study's runs."""
    now = _part_hashes(suite, document)
    for run in store.studies.runs(name):
        before = store.get_run(run.run_id).environment.get("made_of")
        if before is not None and (parts := changed(before, now)):
            raise UserError(
                f"study {name} can't continue: parts of it have changed since it was started: {', '.join(parts)} of"
                f" {suite.path}. Undo the change, or start a study with another name"
            )


def _part_hashes(suite: Suite, document: Mapping[str, Any]) -> PartHashes:
    """The hashes of the suite's parts, and of the files that they and the study's settings name."""
    parts = {**as_mapping(suite.config), **graded_by(suite)}
    files = NamedFiles(suite.root).of([parts, *(document.get(key) for key in CONFIGURING)])
    return {**{name: canonical_hash(part) for name, part in parts.items()}, **files}


def store_study(study: Study, store: Store) -> None:
    """Stores the study; `UserError` when the store has one of this name."""
    store.studies.create(
        StudyRecord(
            name=study.name,
            suite=study.suite.name,
            suite_path=str(study.suite.path),
            suite_hash=study.suite.content_hash(),
            document=dict(study.document),
            document_hash=canonical_hash(study.document),
            split={"train": study.split.train, "test": study.split.test},
            created_at=datetime.now(UTC),
        )
    )


def _suite(file: StudyFile) -> Suite:
    """The study's suite, with the cases that its `run.limit` draws, without that limit in its configuration, and with
    the study's `slo` as its objectives, if there is one.
    """
    suite = load_suite(file.suite).drawn()
    run = suite.config.run.model_copy(update={"limit": None})
    objectives = suite.objectives if file.slo is None else file.slo.limits()
    return replace(suite, config=suite.config.model_copy(update={"run": run}), objectives=objectives)
