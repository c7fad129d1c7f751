"""An engine with a fixed token rate, for tests of a server process without a model."""

import threading
from collections.abc import Callable

from serving.core import EngineStats, FinishReason, Request, TokenDelta
from tests.serving.fake_engine import ByteTokenizer


class PacedEngine:
    """Sends every request a piece of text each `interval_s` seconds, up to its max_tokens. All requests run at once."""

    def __init__(self, interval_s: float, piece: str) -> None:
        self.tokenizer = ByteTokenizer()
        self.max_model_len = 1_000_000
        self.model_facts: dict[str, int] = {}
        self._interval_s = interval_s
        self._piece = piece
        self._running: dict[str, tuple[Request, int]] = {}
        self._generated = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request) -> None:
        with self._lock:
            self._running[request.id] = (request, 0)

    def abort(self, request_id: str) -> None:
        with self._lock:
            self._running.pop(request_id, None)

    def reset_prefix_cache(self) -> None:
        """It has none."""

    def stats(self) -> EngineStats:
        return EngineStats(running=len(self._running), generation_tokens=self._generated)

    def shutdown(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._step(lambda request, count: "length" if count == request.params.max_tokens else None)
        self._step(lambda request, count: "abort")

    def _step(self, ending: Callable[[Request, int], FinishReason | None]) -> None:
        with self._lock:
            for id, (request, before) in tuple(self._running.items()):
                count = before + 1
                reason = ending(request, count)
                self._running[id] = (request, count)
                if reason is not None:
                    del self._running[id]
                self._generated += 1
                request.on_delta(self._delta(request, count, reason))

    def _delta(self, request: Request, count: int, reason: FinishReason | None) -> TokenDelta:
        return TokenDelta(
            text=self._piece,
            token_ids=(0,),
            prompt_tokens=len(request.prompt_ids),
            cached_tokens=0,
            completion_tokens=count,
            finish_reason=reason,
            error="the server is shutting down" if reason == "abort" else None,
        )
