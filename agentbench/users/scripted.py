"""A user who says what the case has written down, whatever the agent answers."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from agentbench.case import Case, Message
from agentbench.errors import UserError


class ScriptedUserConfig(BaseModel):
    """The `scripted` user has no options: its lines are the case's."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedUser:
    """Says the `lines` of the case's `user`, one a turn: each a text, or a list of chat messages."""

    Config = ScriptedUserConfig

    def __init__(self, config: ScriptedUserConfig) -> None:
        self._config = config

    def session(self, case: Case, seed: int) -> "ScriptedSession":
        lines = case.user.get("lines", ())
        if not isinstance(lines, Sequence) or isinstance(lines, str):
            raise UserError(f"case {case.id!r}: user.lines = {lines!r:.80}; expected a list of texts")
        return ScriptedSession([_messages(case, line) for line in lines])


class ScriptedSession:
    def __init__(self, turns: Sequence[tuple[Message, ...]]) -> None:
        self._waiting = iter(turns)

    async def say(self, conversation: Sequence[Message]) -> tuple[Message, ...]:
        return next(self._waiting, ())


def _messages(case: Case, line: object) -> tuple[Message, ...]:
    if isinstance(line, str):
        return ({"role": "user", "content": line},)
    if isinstance(line, list) and all(isinstance(message, dict) and "role" in message for message in line):
        return tuple(line)
    raise UserError(f"case {case.id!r}: user.lines has {line!r:.80}; expected a text or a list of chat messages")
