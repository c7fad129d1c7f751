"""Runs an engine in its own thread; requests reach it through a queue."""

import dataclasses
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from serving.config import EngineConfig
from serving.core import EngineOverloaded, EngineStats, Request, Sequence, WorkerFailed
from serving.engine.engine import LLMEngine, without_values

_LOG = logging.getLogger(__name__)


ENGINE_FAILED = "the engine failed; its log says where"
"""All that clients are told of most errors: an exception's own words may hold another client's text."""


class _Abort(str):
    """The id of a request to be aborted."""


class EngineThread:
    """The engine as others see it. Every method may be called from any thread.

    A request's `on_delta` is called from the engine's thread and must not block; raising ends the request.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self.config: EngineConfig = engine.config
        self.model_config = engine.model_config
        self.model_facts = engine.model_facts
        self.tokenizer = engine.tokenizer
        self.max_model_len = engine.max_model_len
        self._inbox: SimpleQueue[Sequence | _Abort | None] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @classmethod
    def load(cls, model: Path, config: EngineConfig) -> "EngineThread":
        """See `LLMEngine.load`; not yet started."""
        return cls(LLMEngine.load(model, config))

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """See `LLMEngine.watch`."""
        self._engine.watch(on_loss)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request. `PromptTooLong`, ValueError (cannot be run) or `EngineOverloaded`, at once."""
        sequence = self._engine.validated(request)
        if self._closed.is_set():
            raise EngineOverloaded("the server is shutting down.")
        if self.stats().waiting >= self.config.max_waiting:
            raise EngineOverloaded(
                f"{self.config.max_waiting} requests are waiting already (max_waiting); try again later."
            )
        self._inbox.put(sequence)

    def abort(self, request_id: str) -> None:
        """End a request, if it has not ended; its last delta says 'abort'."""
        self._inbox.put(_Abort(request_id))

    def stats(self) -> EngineStats:
        """Counts at some recent moment; what has not reached the engine yet is waiting."""
        stats = self._engine.stats()
        return dataclasses.replace(stats, waiting=stats.waiting + self._inbox.qsize())

    def shutdown(self) -> None:
        """Abort what runs and waits, and return when the thread has ended, and the engine's other processes."""
        self._closed.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._take_messages():
            try:
                self._engine.step()
            # Whatever a step raises ends its requests, never the loop; a panic of a library in Rust is no Exception.
            except BaseException as error:
                _LOG.error("a step failed; its requests are aborted: %s", without_values(error))
                reason = f"the engine failed: {error}" if isinstance(error, WorkerFailed) else ENGINE_FAILED
                self._engine.abort_all(reason)
        self._engine.abort_all("the server is shutting down")
        self._engine.close()

    def _take_messages(self) -> bool:
        """Handle what has come, waiting when there is nothing else to do; False at shutdown."""
        while not (self._inbox.empty() and self._engine.has_work):
            message = self._inbox.get()
            if message is None:
                return False
            if isinstance(message, _Abort):
                self._engine.abort(message)
            else:
                self._engine.queue(message)
        return True
