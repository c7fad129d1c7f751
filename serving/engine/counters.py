"""What an engine has done since it started."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """See `EngineStats`. Written by the engine's thread, read by any."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    forced_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    steps: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
