"""The workloads by kind. Random prompts are made here; those of suites and stored runs have modules of their own."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentbench.loadtest.target_server import Capabilities
from agentbench.loadtest.workload import Form, Path, Session, Turn, Workload

WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPrompts:
    """Sessions of one turn: `prefix_tokens` from one of `groups` shared prefixes, then `input_tokens` of its own.

    Lengths of the own part and of the answer are uniform in `[(1 − spread)·n, (1 + spread)·n]`. Ids are drawn from
    `vocab` (low, high), so that they are ordinary tokens in any tokenizer. A prompt has the exact number of tokens as
    ids, and about that number as text.
    """

    input_tokens: int
    output_tokens: int
    spread: float = 0.0
    prefix_tokens: int = 0
    groups: int = 1
    vocab: tuple[int, int] = (1000, 30000)
    form: Form = "ids"
    ignore_eos: bool = True
    size: int | None = None

    @property
    def path(self) -> Path:
        return "chat/completions" if self.form == "chat" else "completions"

    @property
    def note(self) -> str:
        exact = "token ids" if self.form == "ids" else "words, with an approximate number of tokens"
        ends = "" if self.ignore_eos else "; the server does not support ignore_eos, so answers may end early"
        shared = f", {self.prefix_tokens} tokens of each shared in {self.groups} groups" if self.prefix_tokens else ""
        return f"random prompts as {exact}{shared}{ends}"

    def sessions(self, seed: str) -> Iterator[Session]:
        generator = random.Random(f"prompts {seed}")
        prefixes = [self._tokens(generator, self.prefix_tokens) for _ in range(self.groups)]
        while True:
            own = self._tokens(generator, self._length(generator, self.input_tokens))
            prompt = generator.choice(prefixes) + own
            yield Session(turns=(self._turn(prompt, self._length(generator, self.output_tokens)),))

    def _length(self, generator: random.Random, mean: int) -> int:
        if not self.spread:
            return mean
        return max(1, generator.randint(round(mean * (1 - self.spread)), round(mean * (1 + self.spread))))

    def _tokens(self, generator: random.Random, count: int) -> list[Any]:
        if self.form == "ids":
            return generator.choices(range(*self.vocab), k=count)
        return generator.choices(WORDS, k=count)

    def _turn(self, prompt: list[Any], output_tokens: int) -> Turn:
        text = " ".join(map(str, prompt))
        forms: dict[Form, dict[str, Any]] = {
            "ids": {"prompt": prompt},
            "text": {"prompt": text},
            "chat": {"messages": [{"role": "user", "content": text}]},
        }
        body: dict[str, Any] = {**forms[self.form], "max_tokens": output_tokens, "temperature": 0}
        if self.ignore_eos:
            body["ignore_eos"] = True
        return Turn(path=self.path, body=body, prompt_tokens=len(prompt), output_tokens=output_tokens)


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
            from agentbench.loadtest.recorded import suite_prompts

            return await suite_prompts(self.what)
        if self.kind == "trace":
            from agentbench.loadtest.recorded import stored_run

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
