"""A study: its file, its suite and its cases; new, or from the store."""

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
from tuners.study.check import candidates, check_study
from tuners.study.file import StudyFile, checked_study, overridden, read_study
from tuners.study.split import Split, split_cases

SEARCHED = ("baseline", "references", "space")
"""The keys of a study.yaml whose values get into configurations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """`suite` has the cases of both sides, and its configuration is the suite's own, the baseline not applied.

    `document` is the file's content, from which the study can be made again.
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
        chosen = frozenset(self.split.train)
        return {case.id: case for case in self.suite.cases if case.id in chosen}

    def part_hashes(self) -> PartHashes:
        return _part_hashes(self.suite, self.document)

    def spaces(self) -> tuple[Space, Space]:
        """What the sampler suggests, and the lossless knobs that are tuned by replay; none in a flat search."""
        space = self.file.parameters()
        knobs = self._lossless(space)
        inner = frozenset(path for path in space.parameters if path.removeprefix("serving.") in knobs)
        if self.file.search == "flat":
            return space, Space(parameters={})
        return space.only(frozenset(space.parameters) - inner), space.only(inner)

    def _lossless(self, space: Space) -> frozenset[str]:
        """The knobs that are lossless whatever the rest of the space decides: `compile` and others decide that too."""
        baseline = self.file.baseline
        knobs = lossless_knobs(configured(self.suite, baseline))
        for path, settings in candidates(space):
            if path.startswith("serving.") and path.removeprefix("serving.") not in knobs:
                knobs &= lossless_knobs(configured(self.suite, {**baseline, **settings}))
        return knobs

    def plan(self) -> Plan:
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
    """A study from its file, checked: nothing is started or stored yet."""
    file, document, where = read_study(path, overrides)
    suite = _suite(file)
    check_study(file, suite, where)
    return Study(file=file, document=document, suite=suite, split=split_cases(suite.cases, file.split))


def find_study(name: str, store: Store, overrides: Mapping[str, Any], db: str | None = None) -> Study:
    """A study in the store, as it was asked for; its budget may be another one now, and parameters may have more
    choices than before."""
    if other := next((path for path in overrides if path.split(".")[0] not in ("budget", "space")), None):
        raise UserError(
            f"--set {other}: a study that continues may change its budget, and may get more choices"
            " (space.PATH=[the ones before, NEW]); start one of another name for the rest"
        )
    record = store.studies.get(name)
    if overrides and record.verdict.get("runs"):
        raise UserError(
            f"study {name} has its verdict: its test cases are used up. Start one of another name; it finds the answers"
            " of this one in the store"
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
        # A verdict for which no test case was asked is none that lasts.
        store.studies.reopen(name)
    return study


def _extend(before: Study, study: Study, store: Store, db: str | None) -> None:
    """The sampler's trials over the choices there are now, where they are more; `UserError` for another change."""
    if before.file.space == study.file.space:
        return
    name = study.name
    for path, parameter in study.file.space.items():
        old = before.file.space.get(path)
        if old != parameter and not (old is not None and _has_more(old, parameter)):
            raise UserError(
                f"study {name}: space.{path} may only get more choices, after those it has:"
                f" {_choices_of(old) if old is not None else 'it is not in the space'}; start one of another name"
            )
    others = (each for each in store.studies.begun(name, ended=False) if each.worker != this_worker())
    if at_it := [each.worker for each in others if at_work(each)]:
        raise UserError(f"study {name}: {at_it[0]} still works on it; extend it when all its workers have ended")
    check_study(study.file, study.suite, lambda location: f"study {name}")
    extend_trials(db, name, before.spaces()[0], study.spaces()[0])


def _has_more(old: Parameter, new: Parameter) -> bool:
    if not isinstance(old, Choices) or not isinstance(new, Choices) or old.when != new.when:
        return False
    return same(list(old.choices), list(new.choices[: len(old.choices)]))


def _choices_of(parameter: Parameter) -> str:
    return str(list(parameter.choices)) if isinstance(parameter, Choices) else "it is no list of choices"


def _check_parts(name: str, store: Store, suite: Suite, document: Mapping[str, Any]) -> None:
    """`UserError` where the study's attempts were made of other things than there are now."""
    now = _part_hashes(suite, document)
    for run in store.studies.runs(name):
        before = store.get_run(run.run_id).environment.get("made_of")
        if before is not None and (parts := changed(before, now)):
            raise UserError(
                f"study {name} can't continue: parts of it have changed since it was started: {', '.join(parts)} of"
                f" {suite.path}. Undo that, or start a study of another name"
            )


def _part_hashes(suite: Suite, document: Mapping[str, Any]) -> PartHashes:
    """What a study's attempts are made of: the suite as its file has it, and all that the study may set."""
    parts = {**as_mapping(suite.config), **graded_by(suite)}
    files = NamedFiles(suite.root).of([parts, *(document.get(key) for key in SEARCHED)])
    return {**{name: canonical_hash(part) for name, part in parts.items()}, **files}


def store_study(study: Study, store: Store) -> None:
    """`UserError` when the store has one of this name."""
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
    """The suite with the cases its `run.limit` draws; the limit is then no part of its configuration any more.
    Its objectives are the study's, where that has some."""
    suite = load_suite(file.suite).drawn()
    run = suite.config.run.model_copy(update={"limit": None})
    objectives = suite.objectives if file.slo is None else file.slo.limits()
    return replace(suite, config=suite.config.model_copy(update={"run": run}), objectives=objectives)
