"""Who agrees with whom on a run's attempts: each scorer with the reviewers, and the reviewers with each other."""

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

REVIEWERS = "reviewers"
"""Stands for the majority of the reviewers of an attempt."""

Key = tuple[str, int]
Verdicts = Mapping[Key, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementView:
    """`labelled` attempts have a label; on `tied` of them reviewers are even, and no scorer is held against them."""

    run: Run
    labelled: int
    tied: int
    pairs: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Each pair's `table` is [[both pass, a only], [b only, both fail]]."""
        pairs = [asdict(pair) for pair in self.pairs]
        return {"id": self.run.id, "labelled": self.labelled, "tied": self.tied, "pairs": pairs}


def agreement_view(store: Store, run: Run, scorer: str | None = None) -> AgreementView:
    """The view of a run; of one scorer when it is named (`UserError` when there is none of that name)."""
    labels = store.labels(run.id)
    attempts = store.listing.labelled(run.id)
    clusters = {(attempt.case_id, attempt.repeat): attempt.cluster for attempt in attempts}
    scored = _by_scorer(attempts, store.listing.scorers(run.id), store.waiting_scorers(run.id))
    if scorer is not None and scorer not in scored:
        raise unknown_name("scorer", scorer, scored)
    people = _by_reviewer(labels)
    given = by_attempt(labels)
    agreed: Verdicts = {key: verdict for key, found in given.items() if (verdict := majority(found)) is not None}
    named = [scorer] if scorer is not None else list(scored)
    pairs = [(name, scored[name], REVIEWERS, agreed) for name in named]
    pairs += [(a, people[a], b, people[b]) for a, b in combinations(people, 2)]
    return AgreementView(
        run=run,
        labelled=len(given),
        tied=len(given) - len(agreed),
        pairs=tuple(agree(a, b, _rated(left, right, clusters)) for a, left, b, right in pairs),
    )


def _rated(left: Verdicts, right: Verdicts, clusters: Mapping[Key, str]) -> list[Rated]:
    return [
        Rated(cluster=clusters[key], a=left[key], b=right[key])
        for key in sorted(clusters)
        if key in left and key in right
    ]


def _by_scorer(attempts: Sequence[Attempt], names: Sequence[str], people: frozenset[str]) -> dict[str, Verdicts]:
    """The verdicts of each scorer that gives its own: those in `people` repeat the labels."""
    found: dict[str, dict[Key, bool]] = {name: {} for name in names if name not in people}
    for attempt in attempts:
        for score in attempt.scores:
            if score.name in found and score.passed is not None:
                found[score.name][attempt.case_id, attempt.repeat] = score.passed
    return dict(found)


def _by_reviewer(labels: Sequence[Label]) -> dict[str, Verdicts]:
    found: dict[str, dict[Key, bool]] = {}
    for label in sorted(labels, key=lambda label: label.reviewer):
        found.setdefault(label.reviewer, {})[label.case_id, label.repeat] = label.passed
    return dict(found)


def agreement_report(view: AgreementView, *, piped: bool = False) -> RenderableType:
    """A row for each pair of raters: the counts, how often they agree, and κ with its interval."""
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
    tied = f"; on {view.tied} of them the reviewers are even" if view.tied else ""
    return f"{view.labelled} attempts have a label{tied}. “A only” counts those that A passes and B fails."
