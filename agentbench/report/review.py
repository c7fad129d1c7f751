"""Review: which attempts a person should label, in which order, and how far reviewers and scorers agree."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentbench.core.attempt import Attempt, Label
from agentbench.core.errors import unknown_name
from agentbench.core.run import Run
from agentbench.report import figures
from agentbench.report.terminal import grid
from agentbench.report.terminal_safe import line
from agentbench.stats.agreement import Agreement, Rated, agree
from agentbench.store import Store
from agentbench.store.annotations import by_attempt, majority

AttemptKey = tuple[str, int]
"""Case id and repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSelection:
    """Which attempts to review.

    `sample` limits their number: a random sample by `seed`, or with `uncertain` the attempts whose score is nearest to
    0.5. `scorer` selects the attempts that this scorer scored. `against` names another run and selects the attempts
    whose verdict differs there. Attempts that `reviewer` has labelled are left out.
    """

    reviewer: str
    sample: int | None = None
    scorer: str | None = None
    uncertain: bool = False
    against: str | None = None
    seed: int = 0


def review_queue(store: Store, run_id: str, selection: ReviewSelection) -> list[AttemptKey]:
    """The selected attempts that did not fail and that the reviewer has not labelled.

    They are in the order of case id and repeat; with `uncertain`, the attempts with a score nearest to 0.5 come first.
    """
    labelled = {(label.case_id, label.repeat) for label in store.labels(run_id) if label.reviewer == selection.reviewer}
    attempts = [attempt for attempt in store.measured_attempts(run_id) if attempt.failure is None]
    if selection.scorer is not None:
        scorers = {score.name for attempt in attempts for score in attempt.scores}
        if selection.scorer not in scorers:
            raise unknown_name("scorer", selection.scorer, scorers)
        attempts = [each for each in attempts if any(score.name == selection.scorer for score in each.scores)]
    if selection.against is not None:
        before = _verdicts(store, selection.against)
        attempts = [each for each in attempts if _changed(each, before)]
    queue = sorted((each for each in attempts if _key(each) not in labelled), key=_key)
    return list(map(_key, _select(queue, selection)))


def _key(attempt: Attempt) -> AttemptKey:
    return attempt.case_id, attempt.repeat


def _verdicts(store: Store, run_id: str) -> Mapping[AttemptKey, bool]:
    found = store.verdicts(run_id)
    return {(case_id, repeat): passed for case_id, repeat, passed in found if passed is not None}


def _changed(attempt: Attempt, before: Mapping[AttemptKey, bool]) -> bool:
    return attempt.passed is not None and before.get(_key(attempt), attempt.passed) != attempt.passed


def _select(queue: Sequence[Attempt], selection: ReviewSelection) -> list[Attempt]:
    if selection.uncertain:
        return sorted(queue, key=lambda attempt: _certainty(attempt, selection.scorer))[: selection.sample]
    if selection.sample is None or selection.sample >= len(queue):
        return list(queue)
    chosen = random.Random(selection.seed).sample(range(len(queue)), selection.sample)
    return [queue[index] for index in sorted(chosen)]


def _certainty(attempt: Attempt, scorer: str | None) -> float:
    """The distance of the scorer's value from 0.5; without a scorer, the smallest distance of all scores. A score
    without a verdict counts as 0."""
    values = [
        abs(score.value - 0.5) if score.passed is not None else 0.0
        for score in attempt.scores
        if scorer in (None, score.name)
    ]
    return min(values, default=0.0)


REVIEWERS = "reviewers"
"""Rater name for the majority of an attempt's reviewers."""

Verdicts = Mapping[AttemptKey, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementView:
    """The agreement of each pair of raters. `labelled` counts the attempts with a label. On `tied` of them the
    reviewers are split evenly; scorers are not compared with reviewers on those."""

    run: Run
    labelled: int
    tied: int
    pairs: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Each pair's `table` is [[both pass, a only], [b only, both fail]]."""
        pairs = [asdict(pair) for pair in self.pairs]
        return {"id": self.run.id, "labelled": self.labelled, "tied": self.tied, "pairs": pairs}


def agreement_view(store: Store, run: Run, scorer: str | None = None) -> AgreementView:
    """The agreement of all scorers of a run, or of one named scorer. `UserError` when the run has no such scorer."""
    labels = store.labels(run.id)
    attempts = store.listing.labelled(run.id)
    clusters = {(attempt.case_id, attempt.repeat): attempt.cluster for attempt in attempts}
    scored = _by_scorer(attempts, store.listing.scorers(run.id), store.waiting_scorers(run.id))
    if scorer is not None and scorer not in scored:
        raise unknown_name("scorer", scorer, scored)
    reviewers = _by_reviewer(labels)
    attempt_labels = by_attempt(labels)
    majorities: Verdicts = {
        key: verdict for key, found in attempt_labels.items() if (verdict := majority(found)) is not None
    }
    scorers = [scorer] if scorer is not None else list(scored)
    pairs = [(name, scored[name], REVIEWERS, majorities) for name in scorers]
    pairs += [(a, reviewers[a], b, reviewers[b]) for a, b in combinations(reviewers, 2)]
    return AgreementView(
        run=run,
        labelled=len(attempt_labels),
        tied=len(attempt_labels) - len(majorities),
        pairs=tuple(agree(a, b, _rated(left, right, clusters)) for a, left, b, right in pairs),
    )


def _rated(left: Verdicts, right: Verdicts, clusters: Mapping[AttemptKey, str]) -> list[Rated]:
    """The attempts that both raters judged."""
    return [
        Rated(cluster=clusters[key], a=left[key], b=right[key])
        for key in sorted(clusters)
        if key in left and key in right
    ]


def _by_scorer(attempts: Sequence[Attempt], names: Sequence[str], human: frozenset[str]) -> dict[str, Verdicts]:
    """The verdicts of each automatic scorer. The scorers in `human` are left out: their verdicts are the labels."""
    found: dict[str, dict[AttemptKey, bool]] = {name: {} for name in names if name not in human}
    for attempt in attempts:
        for score in attempt.scores:
            if score.name in found and score.passed is not None:
                found[score.name][attempt.case_id, attempt.repeat] = score.passed
    return dict(found)


def _by_reviewer(labels: Sequence[Label]) -> dict[str, Verdicts]:
    found: dict[str, dict[AttemptKey, bool]] = {}
    for label in sorted(labels, key=lambda label: label.reviewer):
        found.setdefault(label.reviewer, {})[label.case_id, label.repeat] = label.passed
    return dict(found)


def agreement_report(view: AgreementView, *, piped: bool = False) -> RenderableType:
    """A row for each pair of raters: the counts, the share of attempts on which they agree, and κ with its interval."""
    table = grid(f"Agreement in {line(view.run.id)}", piped=piped)
    table.add_column("A", style="bold")
    table.add_column("B", style="bold")
    for heading in ("Both pass", "A only", "B only", "Both fail", "Agree"):
        table.add_column(heading, justify="right")
    table.add_column("Cohen's κ")
    for pair in view.pairs:
        (both, a_only), (b_only, neither) = pair.table
        counts = [str(number) for number in (both, a_only, b_only, neither)]
        agreed = figures.percent(pair.agreement)
        table.add_row(Text(line(pair.a)), Text(line(pair.b)), *counts, agreed, _kappa(pair))
    return Group(table, Text(_footing(view), style="dim"))


def _kappa(pair: Agreement) -> str:
    if pair.kappa is None:
        return pair.note
    if pair.low is None or pair.high is None:
        return f"{pair.kappa:.2f} ({pair.note})"
    return f"{pair.kappa:.2f}, 95 %: {pair.low:.2f} to {pair.high:.2f}"


def _footing(view: AgreementView) -> str:
    if not view.labelled:
        return "No labels yet: agentbench review RUN, or agentbench label RUN CASE pass|fail."
    tied = f"; on {view.tied} of them the reviewers are split evenly" if view.tied else ""
    return f"{view.labelled} attempts have a label{tied}. “A only” counts those that A passes and B fails."
