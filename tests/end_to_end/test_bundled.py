"""The bundled server with the real model: started, asked, stopped; a suite from start to report."""

from pathlib import Path

import pytest

from agentbench.backends.openai_http import OpenAIHttpBackend, OpenAIHttpConfig
from agentbench.core.errors import UserError
from agentbench.core.protocols import ChatRequest
from agentbench.report.run.view import run_view
from agentbench.run.experiment import perform, plan
from agentbench.servers.bundled import BundledConfig, BundledServer
from agentbench.stats.calls import tpot_s, ttft_s
from agentbench.store import open_store
from agentbench.suite.suite import load_suite
from serving.config import LOSSLESS_KNOBS, EngineConfig
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.processes import running, wait_until

pytestmark = pytest.mark.model


async def test_it_answers_while_it_runs_and_is_gone_after(model: Path, tmp_path: Path) -> None:
    # In bfloat16, and with activations in 8 bits, the answer to this question depends on the CPU.
    config = BundledConfig(model=str(model), dtype="float32", quantization="none", max_model_len=512)
    server = BundledServer(config)
    endpoint = await server.start(tmp_path / "logs" / "server.log")
    try:
        assert running(str(model))
        backend = OpenAIHttpBackend(OpenAIHttpConfig(), endpoint)
        question = ({"role": "user", "content": "What is the capital of France?"},)
        call = await backend.chat(ChatRequest(messages=question, temperature=0, max_tokens=12))
        await backend.aclose()
    finally:
        await server.stop()
    assert "Paris" in call.text
    assert call.completion_tokens is not None
    # The token that ends a turn is counted and has no chunk.
    assert call.completion_tokens - sum(call.chunk_tokens) == (call.finish_reason == "stop")
    first, each = ttft_s(call), tpot_s(call)
    assert first is not None
    assert each is not None
    assert 0 < each < first
    assert wait_until(lambda: not running(str(model)))
    await server.stop()


async def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"nonsense")
    server = BundledServer(BundledConfig(model=str(broken)))
    with pytest.raises(UserError, match=r"did not start: .*broken\.gguf.*\(log: "):
        await server.start(tmp_path / "server.log")
    assert wait_until(lambda: not running(str(broken)))


@pytest.mark.slow
async def test_constrained_output_beats_free_text_on_bfcl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    accuracy = {}
    with open_store(str(tmp_path / "store.db")) as store:
        for output in ("free", "json_schema"):
            overrides = {"agent.output": output, "agent.max_tokens": 96, "run.limit": 12}
            experiment = plan(load_suite(ROOT / "suites" / "bfcl_simple", overrides), store)
            attempts = [attempt async for attempt in perform(experiment, store)]
            assert [attempt.failure for attempt in attempts] == [None] * 12
            view = run_view(store, store.get_run(experiment.run.id))
            assert view.accuracy is not None
            accuracy[output] = view.accuracy.value
    assert accuracy["json_schema"] > accuracy["free"]


def test_every_knob_of_the_engine_is_a_knob_of_the_server() -> None:
    assert set(EngineConfig.model_fields) < set(BundledConfig.model_fields)
    assert set(BundledConfig.model_fields) >= LOSSLESS_KNOBS
