"""Several tries at once, and the answer that most of them give (Wang et al. 2022)."""

import asyncio
import hashlib
import json
from collections import Counter

from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.draft import DraftClient, DraftTools, draft
from agentbench.agents.inner import WithInner
from agentbench.case import Case
from agentbench.config import Component
from agentbench.protocols import ChatClient, Reply, Toolbox
from agentbench.thoughts import answer_in


class SelfConsistencyConfig(BaseModel):
    """Options of the `self_consistency` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that is asked several times.")
    votes: int = Field(3, ge=1, le=64)
    temperature: float = Field(0.7, gt=0, description="Of every request of a vote: at 0 all would be the same.")


class SelfConsistencyAgent(WithInner):
    """Runs `inner` `votes` times at once, each with seeds of its own; the answer given most often wins, the first of
    those given as often.

    Two votes agree when they call the same declared tools with the same arguments, or, without such calls, end with
    the same answer but for case and white space. Only the winner's declared calls are the attempt's. Tools that are
    executed are executed for every vote.
    """

    Config = SelfConsistencyConfig

    def __init__(self, config: SelfConsistencyConfig) -> None:
        super().__init__(config.inner)
        self._config = config

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> Reply:
        clients = [
            DraftClient(backend, _seed(case.id, number), self._config.temperature)
            for number in range(self._config.votes)
        ]
        drafts = await asyncio.gather(*(draft(self._inner, case, client, tools) for client in clients))
        keys = [_key(reply, drafted) for reply, drafted in drafts]
        most = Counter(keys).most_common(1)[0][0]
        reply, winner = drafts[keys.index(most)]
        await winner.keep()
        return reply


def _seed(case_id: str, number: int) -> int:
    """31 bits, the same in every run."""
    digest = hashlib.blake2b(f"vote\0{case_id}\0{number}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _key(reply: Reply, drafted: DraftTools) -> str:
    if not drafted.declared:
        return " ".join(answer_in(reply.text).casefold().split())
    calls = [
        (name, arguments if isinstance(arguments, str) else dict(arguments)) for name, arguments, _ in drafted.declared
    ]
    return json.dumps(calls, sort_keys=True, default=str)
