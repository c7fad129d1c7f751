"""The contract of a server."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from agentbench.core.protocols import Server


class ServerContract:
    """Fixture of a subclass: `make_server`, a function that returns a new server that is not started. All servers it
    returns have the same configuration."""

    def test_it_answers_when_started_and_can_be_started_again(
        self, make_server: Callable[[], Server], tmp_path: Path
    ) -> None:
        async def twice() -> None:
            for number in range(2):
                server = make_server()
                endpoint = await server.start(tmp_path / f"{number}.log")
                try:
                    assert endpoint.model
                    assert await asyncio.to_thread(_answers, endpoint.base_url)
                finally:
                    await server.stop()
                    await server.stop()

        asyncio.run(twice())

    def test_it_can_be_stopped_before_it_is_started(self, make_server: Callable[[], Server]) -> None:
        asyncio.run(make_server().stop())

    def test_its_lossless_knobs_are_options(self, make_server: Callable[[], Server]) -> None:
        server = make_server()
        assert server.lossless_knobs <= set(type(server).Config.model_fields)  # type: ignore[attr-defined]


def _answers(base_url: str) -> bool:
    """Whether the server answers HTTP requests; an error status is an answer."""
    try:
        with urllib.request.urlopen(f"{base_url}/models", timeout=30):
            return True
    except urllib.error.HTTPError as refused:
        refused.close()
        return True
    except OSError:
        return False
