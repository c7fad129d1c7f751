"""What an attempt's limits count."""

from dataclasses import replace

import pytest

from agentbench.core.errors import AttemptError
from agentbench.core.protocols import ChatRequest, Relay
from agentbench.core.trace import ModelCall
from agentbench.run.recorder import Recorder
from agentbench.suite.config import Limits
from tests.fakes import SayBackend, adder

REQUEST = ChatRequest(messages=({"role": "user", "content": "?"},))


class Uncounted(SayBackend):
    """A server that sends three chunks and counts no tokens."""

    async def chat(self, request: ChatRequest, relay: Relay | None = None) -> ModelCall:
        call = await super().chat(request, relay)
        return replace(call, chunk_at=(call.sent_at,) * 3, chunk_tokens=(1, 1, 1))


async def test_an_answer_without_a_count_took_a_token_a_chunk() -> None:
    recorder = Recorder(Uncounted("yes"), adder(), seed=1, limits=Limits(tokens=5))
    await recorder.chat(REQUEST)
    await recorder.chat(REQUEST)
    with pytest.raises(AttemptError, match=r"more than run\.limits\.tokens=5"):
        await recorder.chat(REQUEST)
