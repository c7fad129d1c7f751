"""A server process with a real engine and misbehaving clients."""

from pathlib import Path

import pytest

from tests.serving.http.hostile_clients import OPTIONS, attack
from tests.serving.server_process import running_server


@pytest.mark.parametrize("requests", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_correct_requests_are_answered_and_all_resources_are_freed(tiny_model: Path, requests: int) -> None:
    with running_server(tiny_model, *OPTIONS, "--kv-cache-memory-mb", "8", "--set", "dtype=float32") as server:
        report = attack(server, requests)
        print("\n".join(report.lines()))
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    assert report.wrong == []
    assert report.sent.total() == requests
    assert 0.275 * requests < report.aborted.total() < 0.39 * requests
    assert report.metrics["kv_blocks_free"] == report.metrics["kv_blocks_total"]
    assert report.memory_after < report.memory_before * 1.05
