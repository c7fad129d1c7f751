"""What a worker is told first."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from serving.config import EngineConfig


class Assignment(BaseModel):
    """The model, and which rank's part of it to compute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    config: EngineConfig
    rank: int
    store: Path  # where the ranks find each other: see `Group.connect`


class Loaded(BaseModel):
    """The worker's answer: the facts about its part, or why it can't be loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: dict[str, int] = {}
    error: str | None = None
