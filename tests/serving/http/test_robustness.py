"""A server process with a real engine under clients that do everything wrong."""

from pathlib import Path

from tests.serving.http.hostile_clients import OPTIONS, attack
from tests.serving.server_process import running_server


def test_everyone_else_is_answered_and_everything_is_given_back(tiny_model: Path) -> None:
    with running_server(tiny_model, *OPTIONS, "--kv-cache-memory-mb", "8", "--set", "dtype=float32") as server:
        report = attack(server)
        print("\n".join(report.lines()))
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    assert report.wrong == []
    assert report.sent.total() == 2000
    assert 550 < report.aborted.total() < 780
    assert report.metrics["kv_blocks_free"] == report.metrics["kv_blocks_total"]
    assert report.memory_after < report.memory_before * 1.05
