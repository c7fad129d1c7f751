"""The bundled server under a small load, started and stopped by the command."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agentbench.cli.bench import bench_command
from tests.end_to_end.processes import running, wait_until

pytestmark = pytest.mark.model


def test_the_default_server_is_started_measured_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(bench_command)
    load = ["--concurrency", "2", "--requests", "6", "--input-tokens", "24", "--output-tokens", "6"]
    settings = ["--set", "serving.max_model_len=515", "--objective", "ttft=1m", "--json", "a.json"]
    result = CliRunner().invoke(app, [*load, *settings])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "a.json").read_text())
    found = document["points"][0]["sides"]["server"]["figures"]
    assert (found["answered"], found["errors"], found["warmup_requests"]) == (6, 0, 2)
    assert found["prompt_tokens_as_asked"] == found["output_tokens_as_asked"] == 1.0
    assert found["within_objectives"] == 6
    assert found["most_outstanding"] == 2
    assert 0 < found["tpot_p50_s"] < found["latency_p50_s"]
    assert document["peak"]["source"] == "measured"
    assert found["mbu"] > 0
    assert found["mfu"] > 0
    assert document["sides"][0]["continuous_usage"] is True
    assert wait_until(lambda: not running("max_model_len=515"))
