"""Starts, watches and ends the worker processes of the ranks after the first."""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict

from serving.config import EngineConfig
from serving.core import ModelLoadError

_END_S = 10.0  # until a worker that was told to end is killed
_LOSS_S = 2.0  # until a worker whose end has broken a step is seen to have ended


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    rank: int
    process: subprocess.Popen[bytes]
    channel: Connection  # steps go out, one `Loaded` comes back; its end tells the worker to end

    @property
    def end(self) -> str:
        """How it ended."""
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"tensor parallel worker {self.rank} (process {self.process.pid}) {how}"


class Workers:
    """Standard input of each is a pipe that this process holds open: when it dies, they die."""

    def __init__(self, model: Path, config: EngineConfig) -> None:
        """Starts them, and they begin to load."""
        self._directory = TemporaryDirectory(prefix="serving-")
        self._workers = [_start(rank) for rank in range(1, config.tensor_parallel_size)]
        for worker in self._workers:
            assignment = Assignment(model=model.absolute(), config=config, rank=worker.rank, store=self.store)
            worker.channel.send_bytes(assignment.model_dump_json().encode())
        self._reason: str | None = None  # why they were given up
        self._ending = threading.Lock()  # taken for good by who ends them, or tells that one has ended

    @property
    def store(self) -> Path:
        return Path(self._directory.name) / "store"

    def loaded(self) -> list[Mapping[str, int]]:
        """The facts about each one's part, when all have loaded; `ModelLoadError`."""
        return [_answer(worker) for worker in self._workers]

    def send(self, message: bytes) -> None:
        """A step to all of them. OSError when one has ended."""
        for worker in self._workers:
            worker.channel.send_bytes(message)

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Call it, once, when one ends that was not told to."""
        for worker in self._workers:
            name = f"watch-rank-{worker.rank}"
            threading.Thread(target=self._watch, args=(worker, on_loss), name=name, daemon=True).start()

    def give_up(self, reason: str) -> str:
        """Kill them after a failed step. Returns the reason: that one has ended, if so, or else this one."""
        if self._reason is None:
            self._reason = next((worker.end for worker in self._workers if _ends(worker, _LOSS_S)), reason)
        self.kill()
        return self._reason

    def close(self) -> None:
        """Tell them to end, and return when they have."""
        self._ending.acquire(blocking=False)
        for worker in self._workers:
            worker.channel.close()
        for worker in self._workers:
            _ends(worker, _END_S)
        self.kill()
        self._directory.cleanup()

    def kill(self) -> None:
        """Now, whatever they do."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
            assert worker.process.stdin is not None
            worker.process.stdin.close()

    def _watch(self, worker: _Worker, on_loss: Callable[[str], None]) -> None:
        worker.process.wait()
        if self._ending.acquire(blocking=False):
            on_loss(self._reason or worker.end)


def _start(rank: int) -> _Worker:
    ours, theirs = Pipe()
    process = subprocess.Popen(
        (sys.executable, "-m", "serving.engine.parallel.worker", str(theirs.fileno())),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    return _Worker(rank=rank, process=process, channel=ours)


def _answer(worker: _Worker) -> Mapping[str, int]:
    try:
        answer = Loaded.model_validate_json(worker.channel.recv_bytes())
    except (EOFError, OSError) as error:
        worker.process.wait()
        raise ModelLoadError(f"{worker.end} while it loaded its part of the model; see the log above.") from error
    if answer.error is not None:
        raise ModelLoadError(answer.error)
    return answer.facts


def _ends(worker: _Worker, seconds: float) -> bool:
    try:
        worker.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
