"""`agentbench models`: what is known of each model, and what the store's runs say of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.hub import CATALOG, cached
from agentbench.store import open_store
from tests.report.runs import a_case, a_run, an_attempt

MODELS = [artifact for artifact in CATALOG.values() if artifact.kind == "model"]


def listed(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["models", "--json", *arguments], catch_exceptions=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_model_known_by_name_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    found = {each["name"]: each for each in listed()}
    assert sorted(found) == sorted(each.name for each in MODELS)
    half = found["qwen2.5-coder-0.5b-instruct"]
    assert (half["bytes"], half["licence"], half["pulled"]) == (491_400_064, "Apache-2.0", False)
    assert (half["architecture"], half["context"], half["runs"]) == ("qwen2", 32768, {})
    assert half["tool_format"] == "hermes"
    table = CliRunner().invoke(app, ["models"], catch_exceptions=False).stdout
    assert "1,117 MB" in table


def test_a_model_s_accuracy_is_that_of_its_newest_run(tmp_path: Path) -> None:
    db = str(tmp_path / "s.db")
    with open_store(db) as store:
        for minutes, right in enumerate((4, 3)):
            run = a_run(f"weather-{minutes}", "", 4, "free", minutes)
            store.create_run(run)
            attempts = [(an_attempt(number, right=number < right, ttft_ms=1), a_case(number)) for number in range(4)]
            store.add_attempts(run.id, attempts)
    [found] = [each["runs"] for each in listed("--db", db) if each["runs"]]
    assert found == {"weather": {"run": "weather-1", "accuracy": 0.75, "cases": 4}}


@pytest.mark.parametrize("artifact", MODELS, ids=lambda artifact: artifact.name)
def test_what_is_said_of_a_model_is_what_its_file_says(artifact: Any) -> None:
    [state] = [each for each in cached() if each.name == artifact.name]
    if not state.pulled:
        pytest.skip(f"model {artifact.name!r} is not pulled; run: agentbench pull {artifact.name}")
    pytest.importorskip("gguf")
    from serving.checkpoint.gguf_reader import read_gguf
    from serving.openai.prompt import ChatTemplate
    from serving.openai.tools.format import HERMES

    metadata = read_gguf(state.path).metadata
    assert state.path.stat().st_size == artifact.bytes
    assert metadata["general.architecture"] == artifact.architecture
    assert metadata[f"{artifact.architecture}.context_length"] == artifact.context
    source = metadata.get("tokenizer.chat_template", "")
    assert artifact.tool_format == ("hermes" if "tools" in source else "none")
    assert ChatTemplate(source).calls == HERMES
