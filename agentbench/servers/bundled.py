"""The bundled server as a process: starts it, waits until it is ready, and stops its process group."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from agentbench.core.errors import UserError
from agentbench.core.protocols import Endpoint
from agentbench.extras import install_hint
from agentbench.hub import resolve_model, served_name
from agentbench.processes import end_group
from serving import EngineConfig, lossless_knobs

DEFAULT_MODEL = "smollm2-135m-instruct"
STOP_S = 10.0
"""How long the server may take to finish its requests and exit after a stop signal."""


class BundledConfig(EngineConfig):
    """The engine's own options as `serving.<option>`, and the options for starting it."""

    FORMER_DEFAULTS: ClassVar[Mapping[str, Any]] = {"quantization": "none"}
    """See `agentbench.suite.former_defaults`."""

    model: str = Field(DEFAULT_MODEL, description="A pulled model's name, a .gguf file, or a directory.")
    startup_timeout_s: float = Field(180.0, gt=0, description="Limit of the wait until it answers.")


class BundledServer:
    """`python -m serving` on a free loopback port.

    The process leads a session. Its standard input is a pipe that we hold: however we die, the pipe closes, and the
    server ends itself and its children.
    """

    Config = BundledConfig

    def __init__(self, config: BundledConfig) -> None:
        self._config = config
        self._process: asyncio.subprocess.Process | None = None

    @property
    def lossless_knobs(self) -> frozenset[str]:
        return lossless_knobs(self._config)

    def check(self) -> None:
        """`UserError` when the model is missing, or the engine is not installed."""
        resolve_model(self._config.model)
        _require_engine()

    async def start(self, log_path: Path) -> Endpoint:
        self.check()
        model = resolve_model(self._config.model)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(model),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            base_url = await asyncio.wait_for(self._address(), self._config.startup_timeout_s)
        except TimeoutError:
            base_url = None
        if base_url is None:
            await self.stop()
            raise UserError(f"the bundled server did not start: {_last_line(log_path)} (log: {log_path})")
        name = served_name(self._config.model)
        return Endpoint(base_url=base_url, model=name, continuous_usage=True, info=self._info(log_path))

    def _command(self, model: Path) -> list[str]:
        knobs = self._config.model_dump(exclude={"model", "startup_timeout_s"}, exclude_none=True)
        settings = [part for key, value in knobs.items() for part in ("--set", f"{key}={value}")]
        name = ["--served-model-name", served_name(self._config.model)]
        return [
            *(sys.executable, "-m", "serving", "--model", str(model), *name),
            *("--host", "127.0.0.1", "--port", "0", "--exit-with-parent", *settings),
        ]

    async def _address(self) -> str | None:
        """The base URL that the server prints when it is ready; None when it exited instead."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            words = line.decode(errors="replace").split()
            if words[:1] == ["serving"]:
                return words[-1]
        return None

    def _info(self, log_path: Path) -> dict[str, object]:
        assert self._process is not None
        return {
            "server": "bundled",
            "pid": self._process.pid,
            "log": str(log_path),
            "torch": _torch_version(),
        }

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        await end_group(process.pid, process.wait, STOP_S)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _require_engine() -> None:
    if not _torch_version():
        raise UserError(f"the bundled server needs PyTorch: {install_hint('serving')}")


def _last_line(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
