"""Starts the server: log, port, model and HTTP server."""

import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Protocol

from serving.config import ServingConfig
from serving.engine.thread import EngineThread
from serving.http.app import create_app
from serving.http.server import Drain, base_url, bind, run_http_server
from serving.openai.ports import Engine

_FLUSH_S = 1.0  # time for the running requests to send their errors


def serve(config: ServingConfig, *, listener: socket.socket | None = None, log_level: str = "warning") -> None:
    """Load the model and serve it until SIGTERM or SIGINT. Running requests then have `drain_s` seconds to finish.

    Prints one line, `serving <model> on <base URL>`, when the server is ready. Raises `OSError` if the port is in
    use, before the model is loaded; raises `ModelLoadError` if the model can't be loaded.
    """
    log_to_standard_error(log_level)
    listener = listener or bind(config.http.host, config.http.port)
    engine = EngineThread.load(config.model, config.engine)
    engine.watch(_exit)
    serve_engine(engine, config, listener, log_level)


def _exit(reason: str) -> None:
    """Exit with code 1 after a worker process was lost. The next step fails and sends its error to the clients."""
    print(f"serving: {reason}; the server exits", file=sys.stderr, flush=True)
    time.sleep(_FLUSH_S)
    os._exit(1)


class RunnableEngine(Engine, Protocol):
    """An engine whose thread can be started and shut down."""

    def start(self) -> None: ...
    def shutdown(self) -> None: ...


def serve_engine(engine: RunnableEngine, config: ServingConfig, listener: socket.socket, log_level: str) -> None:
    name = config.served_model_name or model_name(config.model)
    drain = Drain(config.http.drain_s)
    app = create_app(
        engine,
        name,
        start=engine.start,
        shutdown=engine.shutdown,
        config=config.http,
        drain=drain,
        tool_calls=config.engine.tool_calls,
    )
    run_http_server(
        app,
        listener,
        f"serving {name} on {base_url(listener)}",
        config=config.http,
        drain=drain,
        abort_requests=engine.shutdown,
        log_level=log_level,
    )


def model_name(path: Path) -> str:
    """The name of a directory; the name of a file without its suffix."""
    model = path.resolve()
    return model.name if model.is_dir() else model.stem


def log_to_standard_error(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("serving")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
