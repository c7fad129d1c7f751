"""The result of a benchmark in its stored form: raw facts first, then figures.

Two servers are compared by the ratio of each figure, paired over alternating rounds.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agentbench.atomic_write import atomic_write
from agentbench.core.errors import UserError
from agentbench.loadtest.measurement import Measurement
from agentbench.loadtest.metrics import Figures, summarize
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.record import Record, record_of
from agentbench.loadtest.roofline import Peak, utilization
from agentbench.stats.intervals import student_quantile

CONFIDENCE = 0.95

COMPARED = (
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
    "ttft_p50_s",
    "ttft_p95_s",
    "tpot_p50_s",
    "tpot_p95_s",
    "itl_p50_s",
    "itl_p99_s",
    "latency_p50_s",
    "latency_p95_s",
    "wall_s",
)
"""Figures with a ratio; lower is better for seconds, higher for rates."""


SCHEMA = "agentbench-bench-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One measurement of a side: its requests, and the client's own load."""

    records: tuple[Record, ...]
    wall_ns: int
    elapsed_s: float
    client_cpu_s: float
    complete: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "started_at": datetime.fromtimestamp(self.wall_ns / 1e9, UTC).isoformat(),
            "elapsed_s": self.elapsed_s,
            "client_cpu_s": self.client_cpu_s,
            "complete": self.complete,
            "requests": [record.to_json() for record in self.records],
        }


@dataclass(slots=True, kw_only=True)
class PointResult:
    """A load and each side's measurements. `saturated` is the reason, empty when the point is not saturated."""

    load: LoadPoint
    limits: Mapping[str, float]
    architectures: Mapping[str, Mapping[str, Any] | None]
    peak: Peak | None
    sides: dict[str, list[Round]] = field(default_factory=dict)
    saturated: dict[str, str] = field(default_factory=dict)

    def add(self, side: str, measurement: Measurement) -> None:
        records = tuple(record_of(each, measurement.started_at) for each in measurement.exchanges)
        self.sides.setdefault(side, []).append(
            Round(
                records=records,
                wall_ns=measurement.wall_ns,
                elapsed_s=measurement.elapsed_s,
                client_cpu_s=measurement.client_cpu_s,
                complete=measurement.complete,
            )
        )

    def figures(self, side: str) -> Figures:
        """The figures over all rounds."""
        rounds = self.sides[side]
        records = [each.records for each in rounds]
        elapsed = sum(each.elapsed_s for each in rounds)
        return {
            **summarize(records, self.limits),
            **utilization(records, self.architectures.get(side), self.peak),
            "wall_s": elapsed,
            "client_cpu_share": sum(each.client_cpu_s for each in rounds) / elapsed if elapsed else None,
        }

    def round_figures(self, side: str) -> list[Figures]:
        return [
            {**summarize([each.records], self.limits), "wall_s": each.elapsed_s}
            for each in self.sides[side]
            if each.complete
        ]

    def dead(self) -> bool:
        return all(record.error for rounds in self.sides.values() for each in rounds for record in each.records)

    def line(self) -> str:
        """One line of progress."""
        parts = []
        for side in self.sides:
            found = self.figures(side)
            rate = found["output_tokens_per_s"]
            speed = "tok/s not known" if rate is None else f"{rate:.4g} tok/s"
            parts.append(f"{side} {found['answered']} of {found['requests']} answered, {speed}")
        return f"{self.load.label}: {'; '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        first, *others = self.sides or [""]
        by_round = {side: self.round_figures(side) for side in self.sides}
        return {
            "load": self.load.to_json(),
            "sides": {
                side: {
                    "saturated": self.saturated.get(side, ""),
                    "figures": self.figures(side),
                    "round_figures": by_round[side],
                    "rounds": [each.to_json() for each in rounds],
                }
                for side, rounds in self.sides.items()
            },
            "ratios": {other: ratios(by_round[first], by_round[other]) for other in others},
        }


@dataclass(slots=True, kw_only=True)
class BenchResult:
    """The whole result, written to `path` from the first point on. `facts` describe command, plan and machine."""

    id: str
    path: Path
    facts: Mapping[str, Any]
    limits: Mapping[str, float]
    peak: Peak | None = None
    sides: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""
    points: list[PointResult] = field(default_factory=list)
    ended: str = "interrupted"

    def begin(self, sides: Sequence[dict[str, Any]], note: str) -> None:
        self.sides = list(sides)
        self.note = note

    def add_point(self, load: LoadPoint) -> PointResult:
        cards = {side["name"]: side["card"].get("architecture") for side in self.sides}
        point = PointResult(load=load, limits=self.limits, architectures=cards, peak=self.peak)
        self.points.append(point)
        return point

    def unanswered(self) -> str:
        """The first side without an answered request, with its first error; empty when every side has answers."""
        records: dict[str, list[Record]] = {}
        for point in self.points:
            for side, rounds in point.sides.items():
                records.setdefault(side, []).extend(record for each in rounds for record in each.records)
        for side, found in records.items():
            if found and all(record.error for record in found):
                return f"{side}: {len(found)} requests, the first: {found[0].error} {found[0].detail}".rstrip()
        return ""

    def stop(self, why: str) -> None:
        self.ended = why

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "id": self.id,
            **self.facts,
            "objectives_s": dict(self.limits),
            "peak": self.peak and self.peak.to_json(),
            "sides": self.sides,
            "workload_note": self.note,
            "ended": self.ended,
            "points": [point.to_json() for point in self.points if point.sides],
        }

    def save(self) -> None:
        write_json(self.path, self.to_json())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Writes the file atomically. `UserError` when it can't be written."""
    with atomic_write(path, force=True) as draft:
        draft.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A stored benchmark. `UserError` when the file is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read as a stored benchmark: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{path}: not a stored benchmark (its schema is not {SCHEMA!r})")
    return found


def ratios(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each figure's ratio a/b with its 95 % interval, over the rounds that both sides finished.

    The ratio is the geometric mean over rounds. The interval is Student's t on the log ratios (n − 1 degrees of
    freedom), so that drift during a round affects both sides. A single round has no interval.
    """
    found = {}
    for name in COMPARED:
        pairs = [(x.get(name), y.get(name)) for x, y in zip(a, b, strict=False)]
        logs = [math.log(x / y) for x, y in pairs if x and y]
        if logs:
            found[name] = _interval(logs)
    return found


def _interval(logs: Sequence[float]) -> dict[str, Any]:
    mean = float(np.mean(logs))
    ratio = {"ratio": math.exp(mean), "low": None, "high": None, "rounds": len(logs)}
    if len(logs) < 2:
        return ratio
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    half = student_quantile(CONFIDENCE, len(logs) - 1) * error
    return {**ratio, "low": math.exp(mean - half), "high": math.exp(mean + half)}
