"""Builds the requested workload, once the servers' capabilities are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentbench.loadtest.capabilities import Capabilities
from agentbench.loadtest.random_prompts import Form, RandomPrompts
from agentbench.loadtest.workload import Workload

WorkloadKind = Literal["random", "shared_prefix", "suite", "trace"]
WORKLOADS: tuple[WorkloadKind, ...] = ("random", "shared_prefix", "suite", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """`what` names the suite or the run. The lengths apply to random workloads; `db` is the store of a trace."""

    kind: WorkloadKind
    what: str = ""
    input_tokens: int = 256
    output_tokens: int = 64
    spread: float = 0.0
    prefix_tokens: int = 0
    groups: int = 1
    vocab: tuple[int, int] = (1000, 30000)
    db: str | None = None

    @property
    def forms(self) -> Sequence[Form]:
        """The possible forms of a prompt, best first; suites and traces have messages."""
        return ("ids", "text", "chat") if self.kind in ("random", "shared_prefix") else ("chat",)

    async def make(self, capabilities: Capabilities) -> Workload:
        if self.kind == "suite":
            from agentbench.loadtest.suite_prompts import suite_prompts

            return await suite_prompts(self.what)
        if self.kind == "trace":
            from agentbench.loadtest.replay import stored_run

            return stored_run(self.what, self.db)
        return RandomPrompts(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            spread=self.spread,
            prefix_tokens=self.prefix_tokens if self.kind == "shared_prefix" else 0,
            groups=self.groups if self.kind == "shared_prefix" else 1,
            vocab=self.vocab,
            form=capabilities.form,
            ignore_eos=capabilities.ignore_eos,
        )
