"""The server process: a port, a model, an event loop, and how they end."""

import signal
import socket
from types import FrameType

import uvicorn

from serving.config import EngineConfig, ServingConfig
from serving.engine_thread import EngineThread
from serving.http import create_app
from serving.listener import base_url, bind

DRAIN_S = 5  # how long running requests may go on after a stop signal


def serve(config: ServingConfig, *, listener: socket.socket | None = None, log_level: str = "warning") -> None:
    """Load the model, serve until SIGTERM or SIGINT, let running requests end, return.

    Raises `ModelLoadError`, and `OSError` where the port is taken (before the model is loaded). When it
    answers it prints one line, `serving <model> on <base URL>`.
    """
    listener = listener or bind(config.host, config.port)
    name = config.served_model_name or config.model.stem
    engine = EngineThread.load(config.model, engine_config(config))
    app = create_app(engine, name, start=engine.start, shutdown=engine.shutdown)
    options = uvicorn.Config(
        app,
        log_level=log_level,
        access_log=log_level == "debug",
        timeout_graceful_shutdown=DRAIN_S,
        lifespan="on",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopped)
    _Server(options, f"serving {name} on {base_url(listener)}").run(sockets=[listener])


def engine_config(config: ServingConfig) -> EngineConfig:
    return EngineConfig.model_validate(config.model_dump(include=set(EngineConfig.model_fields)))


class _Server(uvicorn.Server):
    """Uvicorn that tells on standard output when it answers."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._announcement, flush=True)


def _already_stopped(number: int, frame: FrameType | None) -> None:
    """Uvicorn, when it is done, raises the signal that stopped it again: the exit code is 0 all the same."""
