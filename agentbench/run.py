"""A run: one suite by one configuration in one environment; what the store keeps beside its attempts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

RunStatus = Literal["running", "finished", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The identity of a run and its plan.

    `config` is the resolved configuration (agent, serving, backend, run …), enough to run it again;
    `config_hash` is the SHA-256 of its canonical JSON, `suite_hash` that of the cases in it. `case_ids` are
    the cases planned, each `repeats` times: what is planned and not stored is what `--resume` runs.
    `environment` has git commit, machine, versions, server.
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
    label: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    status: RunStatus = "running"
    created_at: datetime
    finished_at: datetime | None = None
