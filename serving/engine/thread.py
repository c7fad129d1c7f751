"""Runs an engine in its own thread. Requests reach it through a queue."""

import dataclasses
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from serving.config import EngineConfig
from serving.core import EngineOverloaded, EngineStats, Request, Sequence, WorkerFailed
from serving.engine.engine import LLMEngine, redact

_LOG = logging.getLogger(__name__)


ENGINE_FAILED = "the engine failed; see the server's log"
"""The message that clients get. The exception's own message is not shown: it may quote another client's text."""


class _Abort(str):
    """The id of a request to be aborted."""


class _ResetPrefixCache:
    """The message to forget prompts that were computed."""


class EngineThread:
    """A thread-safe engine.

    The engine's thread calls a request's `on_delta`, which must not block. If it raises, the request ends.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self.config: EngineConfig = engine.config
        self.model_config = engine.model_config
        self.model_facts = engine.model_facts
        self.tokenizer = engine.tokenizer
        self.max_model_len = engine.max_model_len
        self._inbox: SimpleQueue[Sequence | _Abort | _ResetPrefixCache | None] = SimpleQueue()
        self._closed = threading.Event()
        self._inbox_lock = threading.Lock()  # no request may enter the inbox after the message to stop
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @classmethod
    def load(cls, model: Path, config: EngineConfig) -> "EngineThread":
        """Load the model; see `LLMEngine.load`. The thread is not started yet."""
        return cls(LLMEngine.load(model, config))

    def watch(self, on_loss: Callable[[str], None]) -> None:
        """See `LLMEngine.watch`."""
        self._engine.watch(on_loss)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request.

        Raises `PromptTooLong` or another ValueError if the request can never run, and `EngineOverloaded` if
        `max_waiting` requests are waiting or the engine is shutting down.
        """
        sequence = self._engine.validate(request)
        if self.stats().waiting >= self.config.max_waiting:
            raise EngineOverloaded(
                f"{self.config.max_waiting} requests are waiting already (max_waiting); try again later."
            )
        with self._inbox_lock:
            if self._closed.is_set():
                raise EngineOverloaded("the server is shutting down.")
            self._inbox.put(sequence)

    def abort(self, request_id: str) -> None:
        """End a request that has not ended yet. Its last delta has the finish reason 'abort'."""
        self._inbox.put(_Abort(request_id))

    def reset_prefix_cache(self) -> None:
        """No request that is submitted later finds a prompt that was computed before."""
        self._inbox.put(_ResetPrefixCache())

    def stats(self) -> EngineStats:
        """The engine's counts, read without a lock. Messages that the thread has not handled count as waiting."""
        stats = self._engine.stats()
        return dataclasses.replace(stats, waiting=stats.waiting + self._inbox.qsize())

    def shutdown(self) -> None:
        """Abort all requests. Returns when the thread and the worker processes have ended."""
        with self._inbox_lock:
            self._closed.set()
            self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            try:
                running = self._handle_messages()
                if running:
                    self._engine.step()
            # A failure ends all requests, never the loop. A panic in a Rust library is a BaseException.
            except BaseException as error:
                _LOG.error("the engine failed; all requests are aborted: %s", redact(error))
                reason = f"the engine failed: {error}" if isinstance(error, WorkerFailed) else ENGINE_FAILED
                self._engine.abort_all(reason)
        self._engine.abort_all("the server is shutting down")
        self._engine.close()

    def _handle_messages(self) -> bool:
        """Handle all queued messages; wait for one if the engine has no work. Returns False at shutdown."""
        while not (self._inbox.empty() and self._engine.has_work):
            message = self._inbox.get()
            if message is None:
                return False
            if isinstance(message, _Abort):
                self._engine.abort(message)
            elif isinstance(message, _ResetPrefixCache):
                self._engine.reset_prefix_cache()
            else:
                self._engine.queue(message)
        return True
