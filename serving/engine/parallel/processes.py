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

_STOP_S = 10.0  # time for a worker to stop before it is killed
_EXIT_CHECK_S = 2.0  # time to wait, after a failed step, for each worker's exit


class Assignment(BaseModel):
    """The first message to a worker: the model, its configuration, and the worker's rank."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    config: EngineConfig
    rank: int
    store: Path  # the file through which the ranks connect: see `Group.connect`


class LoadResult(BaseModel):
    """The worker's answer: the facts about its part of the model, or the error of the load."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: dict[str, int] = {}
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    rank: int
    process: subprocess.Popen[bytes]
    channel: Connection  # sends the assignment and the steps, receives one `LoadResult`; closing it stops the worker

    @property
    def exit_text(self) -> str:
        """A sentence about the worker's exit. The process must have ended."""
        code = self.process.returncode
        exit = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"tensor parallel worker {self.rank} (process {self.process.pid}) {exit}"


class Workers:
    """The worker processes. The standard input of each is a pipe from this process, so they die with it."""

    def __init__(self, model: Path, config: EngineConfig) -> None:
        """Start the workers. Each begins to load its part of the model."""
        self._directory = TemporaryDirectory(prefix="serving-")
        self._workers = [_start(rank) for rank in range(1, config.tensor_parallel_size)]
        for worker in self._workers:
            assignment = Assignment(model=model.absolute(), config=config, rank=worker.rank, store=self.store)
            worker.channel.send_bytes(assignment.model_dump_json().encode())
        self._failure: str | None = None  # the reason of `kill_after_failure`
        # Acquired once and never released, by `close` or by the first thread that reports a loss.
        self._end_claimed = threading.Lock()

    @property
    def store(self) -> Path:
        return Path(self._directory.name) / "store"

    def wait_until_loaded(self) -> list[Mapping[str, int]]:
        """Wait until all workers have loaded. Returns each worker's facts; raises `ModelLoadError`."""
        return [_receive_facts(worker) for worker in self._workers]

    def send(self, message: bytes) -> None:
        """Send a step to all workers. Raises OSError if one has ended."""
        for worker in self._workers:
            worker.channel.send_bytes(message)

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """Call `on_loss`, once, if a worker ends unexpectedly."""
        for worker in self._workers:
            name = f"watch-rank-{worker.rank}"
            threading.Thread(target=self._watch, args=(worker, on_loss), name=name, daemon=True).start()

    def kill_after_failure(self, reason: str) -> str:
        """Kill all workers after a failed step. Returns the exit of a worker that had ended, if any, else `reason`."""
        if self._failure is None:
            exits = (worker.exit_text for worker in self._workers if _wait_for_exit(worker, _EXIT_CHECK_S))
            self._failure = next(exits, reason)
        self.kill()
        return self._failure

    def close(self) -> None:
        """Stop all workers and wait for their exit."""
        self._end_claimed.acquire(blocking=False)
        for worker in self._workers:
            worker.channel.close()
        for worker in self._workers:
            _wait_for_exit(worker, _STOP_S)
        self.kill()
        self._directory.cleanup()

    def kill(self) -> None:
        """Kill all workers at once, also in the middle of a step."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
            assert worker.process.stdin is not None
            worker.process.stdin.close()

    def _watch(self, worker: _Worker, on_loss: Callable[[str], None]) -> None:
        worker.process.wait()
        if self._end_claimed.acquire(blocking=False):
            self._directory.cleanup()  # on_loss may exit the process without calling `close`
            on_loss(self._failure or worker.exit_text)


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


def _receive_facts(worker: _Worker) -> Mapping[str, int]:
    try:
        result = LoadResult.model_validate_json(worker.channel.recv_bytes())
    except (EOFError, OSError) as error:
        worker.process.wait()
        raise ModelLoadError(f"{worker.exit_text} while it loaded its part of the model; see the log above.") from error
    if result.error is not None:
        raise ModelLoadError(result.error)
    return result.facts


def _wait_for_exit(worker: _Worker, seconds: float) -> bool:
    """Whether the worker's process has ended within this time."""
    try:
        worker.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
