"""Example exchanges that an agent shows the model before the case's own messages."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from agentbench.case import Message


class Demonstration(BaseModel):
    """What a user asked, and the answer to give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    output: str


def demonstrated(demonstrations: Iterable[Demonstration], asked: Sequence[Message] = ()) -> Iterator[Message]:
    """The demonstrations as messages, a user's and an assistant's each.

    One whose input stands in the messages `asked` is left out: it would tell the answer to what it demonstrates.
    """
    for each in demonstrations:
        if any(message.get("content") == each.input for message in asked):
            continue
        yield {"role": "user", "content": each.input}
        yield {"role": "assistant", "content": each.output}
