"""A user who says what the case has written down, whatever the agent answers."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from agentbench.case import Case, Message
from agentbench.validation import validate


class ScriptedUserConfig(BaseModel):
    """The `scripted` user has no options: its lines are the case's."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpokenMessage(BaseModel):
    """A chat message, of which only its role is known beforehand."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: str


class Script(BaseModel):
    """What a case's `user` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: tuple[str | tuple[SpokenMessage, ...], ...] = ()


class ScriptedUser:
    """Says the `lines` of the case's `user`, one a turn: each a text, or a list of chat messages."""

    Config = ScriptedUserConfig

    def __init__(self, config: ScriptedUserConfig) -> None:
        self._config = config

    def check(self, case: Case) -> None:
        validate(Script, case.user, lambda _: f"case {case.id!r}", ("user",))

    def session(self, case: Case, seed: int) -> "ScriptedSession":
        return ScriptedSession([_messages(line) for line in case.user.get("lines", ())])


class ScriptedSession:
    def __init__(self, turns: Sequence[tuple[Message, ...]]) -> None:
        self._waiting = iter(turns)

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
        return next(self._waiting, ())


def _messages(line: str | Sequence[Message]) -> tuple[Message, ...]:
    return ({"role": "user", "content": line},) if isinstance(line, str) else tuple(line)
