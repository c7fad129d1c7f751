"""Splits the cases of a study into train and test, by whole clusters."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.case import Case
from agentbench.core.errors import UserError


class SplitOptions(BaseModel):
    """How many cases go where. A share is of all cases, a whole number is a count; what neither takes is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: int | float = Field(0.5, gt=0, description="Share (below 1) or number of cases kept for the verdict.")
    train: int | float | None = Field(None, gt=0, description="Share or number of cases to search on; the rest.")
    seed: int = Field(0, ge=0)

    @field_validator("test", "train")
    @classmethod
    def _share_or_count(cls, value: int | float | None) -> int | float | None:
        if isinstance(value, float) and value >= 1:
            raise ValueError("a share is below 1, and a number of cases is whole, for example 0.5 or 200")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case ids of the two sides, each in the order they were drawn."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def split_cases(cases: Sequence[Case], options: SplitOptions) -> Split:
    """Whole clusters drawn by seed, first for `test`, then for `train`.

    A side is never larger than asked for, and may be smaller by less than a cluster. `UserError` when a side
    would be empty.
    """
    clusters: dict[str, list[str]] = {}
    for case in cases:
        clusters.setdefault(case.cluster, []).append(case.id)
    waiting = list(clusters.values())
    random.Random(options.seed).shuffle(waiting)
    test = _taken(waiting, _count(options.test, len(cases)))
    rest = len(cases) - len(test)
    train = _taken(waiting, rest if options.train is None else min(rest, _count(options.train, len(cases))))
    for name, ids in (("test", test), ("train", train)):
        if not ids:
            raise UserError(
                f"split: no {name} cases, from {len(cases)} in {len(clusters)} clusters with test = {options.test}"
                f" and train = {options.train}; use more cases or another share"
            )
    return Split(train=tuple(train), test=tuple(test))


def _count(wanted: int | float, total: int) -> int:
    return int(wanted * total) if wanted < 1 else int(wanted)


def _taken(waiting: list[list[str]], most: int) -> list[str]:
    """Takes clusters off `waiting`, those that still fit, until `most` cases are taken."""
    taken: list[str] = []
    for cluster in list(waiting):
        if len(taken) + len(cluster) <= most:
            taken += cluster
            waiting.remove(cluster)
    return taken
