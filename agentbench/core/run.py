"""A run: a suite under one configuration in one environment, as it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

RunStatus = Literal["running", "finished", "interrupted"]

RunKind = Literal["suite", "part", "rerun", "study"]
"""What a run covers: all cases of a suite, a part of them, a rerun of another run's failing cases, or cases of a tuning
study."""

STANDALONE: tuple[RunKind, ...] = ("suite", "part")
"""The kinds of run that a user starts directly: `latest` and a suite's history consider these alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The identity of a run and its plan.

    `config` is the resolved configuration (agent, serving, backend, run …), enough to repeat the run. `config_hash` is
    the SHA-256 of its canonical JSON, `suite_hash` that of its cases. `case_ids` are the planned cases, each `repeats`
    times; `--resume` runs the planned attempts that are not stored. `environment` has git commit, machine, versions,
    server, and the number of cases in the suite (`suite_cases`).
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
        """The suite's prices at the time of the run: model to the price of a million prompt, cached and completion
        tokens.
        """
        return self.environment.get("prices") or {}

    @property
    def suite_cases(self) -> int:
        """The number of cases in the suite, of which the run may cover only a part."""
        # Earlier versions stored only `selected_of`, and only for partial runs.
        count = self.environment.get("suite_cases") or self.environment.get("selected_of")
        return int(count or len(self.case_ids))

    @property
    def is_part(self) -> bool:
        """Whether the run leaves out cases of its suite."""
        return len(self.case_ids) < self.suite_cases


def changed_parts(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names the parts (tools, user, scorers) that differ between two suites; a part that a run did not record is
    skipped.
    """
    return [part for part in a if part in b and a[part] != b[part]]
