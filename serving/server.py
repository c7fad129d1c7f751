"""Starts the server: port, model, HTTP server and log."""

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

_LAST_WORDS_S = 1.0


def serve(config: ServingConfig, *, listener: socket.socket | None = None, log_level: str = "warning") -> None:
    """Load the model, serve until SIGTERM or SIGINT, let running requests end, return.

    Raises `ModelLoadError`, and `OSError` where the port is taken (before the model is loaded). When it
    answers it prints one line, `serving <model> on <base URL>`.
    """
    log_to_standard_error(log_level)
    listener = listener or bind(config.http.host, config.http.port)
    engine = EngineThread.load(config.model, config.engine)
    engine.watch(_end)
    serve_engine(engine, config, listener, log_level)


def _end(reason: str) -> None:
    """Nothing can be computed any more. What runs fails with its next step, and its clients are told."""
    print(f"serving: {reason}; the server ends", file=sys.stderr, flush=True)
    time.sleep(_LAST_WORDS_S)
    os._exit(1)


class RunnableEngine(Engine, Protocol):
    """An engine with a thread to start and to end."""

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
        give_up=engine.shutdown,
        log_level=log_level,
    )


def model_name(path: Path) -> str:
    """Of a directory its name, of a file its stem."""
    model = path.resolve()
    return model.name if model.is_dir() else model.stem


def log_to_standard_error(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("serving")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
