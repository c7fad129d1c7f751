"""Splits a study's cases into train and test; no cluster is divided."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentbench.core.case import Case
from agentbench.core.errors import UserError


class SplitOptions(BaseModel):
    """How many cases are in train and in test: an integer is a count, a fraction is a share of all cases.

    The other cases are not used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: int | float = Field(0.5, gt=0, description="Share (below 1) or number of cases held out for the verdict.")
    train: int | float | None = Field(
        None, gt=0, description="Share or number of cases to search on; all others by default."
    )
    seed: int = Field(0, ge=0)

    @field_validator("test", "train")
    @classmethod
    def _share_or_count(cls, value: int | float | None) -> int | float | None:
        if isinstance(value, float) and value >= 1:
            raise ValueError("a share is below 1, and a number of cases is whole, for example 0.5 or 200")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The case ids of train and of test, each in the order in which they were drawn."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def split_cases(cases: Sequence[Case], options: SplitOptions) -> Split:
    """Draws whole clusters by seed, first for `test`, then for `train`.

    A side never has more cases than wanted. It may have fewer, by less than a cluster. `UserError` when a side would
    be empty.
    """
    clusters: dict[str, list[str]] = {}
    for case in cases:
        clusters.setdefault(case.cluster, []).append(case.id)
    waiting = list(clusters.values())
    random.Random(options.seed).shuffle(waiting)
    test = _draw(waiting, _count(options.test, len(cases)))
    rest = len(cases) - len(test)
    train = _draw(waiting, rest if options.train is None else min(rest, _count(options.train, len(cases))))
    for name, ids in (("test", test), ("train", train)):
        if not ids:
            raise UserError(
                f"split: no {name} cases, from {len(cases)} in {len(clusters)} clusters with test = {options.test}"
                f" and train = {options.train}; use more cases or another share"
            )
    return Split(train=tuple(train), test=tuple(test))


def _count(wanted: int | float, total: int) -> int:
    return int(wanted * total) if wanted < 1 else int(wanted)


def _draw(waiting: list[list[str]], most: int) -> list[str]:
    """Removes clusters from `waiting` as long as they fit into `most` cases, and returns their case ids."""
    taken: list[str] = []
    for cluster in list(waiting):
        if len(taken) + len(cluster) <= most:
            taken += cluster
            waiting.remove(cluster)
    return taken
