"""A run: a suite under one configuration in one environment, as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

RunStatus = Literal["running", "finished", "interrupted"]

RunKind = Literal["suite", "part", "rerun", "study"]
"""What a run is of: all cases of a suite, a part of them, the failing cases of another run once more, or some cases for
a tuning study."""

STANDALONE: tuple[RunKind, ...] = ("suite", "part")
"""The kinds of a run that somebody asked for: `latest` means one of these, and a suite's history is of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The identity of a run and its plan.

    `config` is the resolved configuration (agent, serving, backend, run …), enough to run it again;
    `config_hash` is the SHA-256 of its canonical JSON, `suite_hash` that of the cases in it. `case_ids` are
    the cases planned, each `repeats` times: what is planned and not stored is what `--resume` runs.
    `environment` has git commit, machine, versions, server, and how many cases the suite has (`suite_cases`).
    """

    id: str
    suite: str
    suite_version: str
    suite_path: str
    suite_hash: str
    config: Mapping[str, Any]
    config_hash: str
    case_ids: tuple[str, ...]
    repeats: int
    kind: RunKind = "suite"
    label: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    status: RunStatus = "running"
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def prices(self) -> Mapping[str, Mapping[str, float]]:
        """Its suite's, as they were: model to the price of a million prompt, cached and completion tokens."""
        return self.environment.get("prices") or {}

    @property
    def suite_cases(self) -> int:
        """How many cases the suite has of which this run is, or is a part."""
        # Runs of earlier versions have `selected_of` where they are a part, and nothing else.
        known = self.environment.get("suite_cases") or self.environment.get("selected_of")
        return int(known or len(self.case_ids))

    @property
    def is_part(self) -> bool:
        """Whether its suite has cases that it was not to run."""
        return len(self.case_ids) < self.suite_cases


def changed_parts(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Which of their tools, user and scorers two suites have differently, as far as both say it."""
    return [part for part in a if part in b and a[part] != b[part]]
