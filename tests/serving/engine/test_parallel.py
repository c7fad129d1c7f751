"""Tensor parallelism with several processes (Gloo, on the CPU): the engine, the server, and their shutdown."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import openai
import pytest

from serving.config import EngineConfig
from serving.core import ModelLoadError, SamplingParams
from serving.engine.engine import LLMEngine
from serving.engine.parallel.processes import Workers
from serving.engine.parallel.runner import RankLost
from tests.serving.engine.test_engine import add, alone, answers, finish, load, prompts
from tests.serving.server_process import ServerProcess, running_server

PARALLEL = ("--tensor-parallel-size", "2", "--dtype", "float32", "--threads", "1")
PROMPT = "Once upon a time there was"


def children(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@contextmanager
def handle(process: int) -> Iterator[int]:
    """A descriptor that is readable once the process has ended."""
    descriptor = os.pidfd_open(process)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def assert_ends(descriptor: int) -> None:
    assert select.select([descriptor], [], [], 30)[0], "it still runs"


def new_child(before: list[int]) -> int:
    [child] = set(children(os.getpid())) - set(before)
    return child


def test_the_engine_answers_as_one_process_does_and_ends_its_worker(tiny_model: Path) -> None:
    many = [prompt * 2 for prompt in prompts(12, 40, 256)]
    one = load(tiny_model)
    before = children(os.getpid())
    with closing(load(tiny_model, tensor_parallel_size=2, max_num_batched_tokens=64)) as two:
        assert answers(two, many) == answers(one, many)
        params = SamplingParams(temperature=1.5, seed=7, max_tokens=12, ignore_eos=True, n=3)
        results = [add(engine, list(range(30)), params) for engine in (one, two)]
        for engine in (one, two):
            finish(engine)
        first, second = ([(d.index, d.token_ids) for d in result.deltas] for result in results)
        assert first == second, "answers that share blocks and then copy them"
        assert two.model_facts["num_parameters"] == one.model_facts["num_parameters"]
        assert two.model_facts["kv_bytes_per_token"] == one.model_facts["kv_bytes_per_token"]
        worker = new_child(before)
    assert worker not in children(os.getpid())
    _can_be_loaded_after_another_and_says_at_each_step_that_it_has_lost_a_rank(tiny_model)


def _can_be_loaded_after_another_and_says_at_each_step_that_it_has_lost_a_rank(tiny_model: Path) -> None:
    before = children(os.getpid())
    with closing(load(tiny_model, tensor_parallel_size=2)) as engine:
        assert len(alone(engine, [1, 2, 3]).token_ids) == 24
        add(engine, [1, 2, 3])
        engine.step()
        worker = new_child(before)
        os.kill(worker, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(RankLost, match=rf"worker 1 \(process {worker}\) was killed by signal 9"):
                engine.step()
        engine.abort_all()
    assert worker not in children(os.getpid())


def test_a_worker_that_ends_while_it_loads_is_an_error(tiny_model: Path) -> None:
    workers = Workers(tiny_model, EngineConfig(tensor_parallel_size=2))
    workers.kill()
    with pytest.raises(ModelLoadError, match=r"worker 1 .* was killed by signal 9 while it loaded"):
        workers.wait_until_loaded()
    workers.close()


def test_a_workers_load_error_is_passed_on(tiny_model: Path) -> None:
    workers = Workers(tiny_model, EngineConfig(tensor_parallel_size=2, quantization="int8"))
    with pytest.raises(ModelLoadError, match="a multiple of 32 inputs"):
        workers.wait_until_loaded()
    workers.close()


def test_a_model_that_cannot_be_split_starts_no_process(tiny_model: Path) -> None:
    before = children(os.getpid())
    with pytest.raises(ModelLoadError, match="tensor_parallel_size 3 is more than the model's 2 KV heads"):
        load(tiny_model, tensor_parallel_size=3)
    assert children(os.getpid()) == before


def test_a_model_that_cannot_be_loaded_leaves_no_process(tiny_model: Path) -> None:
    before = children(os.getpid())
    with pytest.raises(ModelLoadError, match="a multiple of 32 inputs"):
        load(tiny_model, tensor_parallel_size=2, quantization="int8")
    assert children(os.getpid()) == before


def complete(server: ServerProcess, max_tokens: int) -> str:
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        extra = {"ignore_eos": True}
        return (
            client.completions.create(
                model=server.model, prompt=PROMPT, max_tokens=max_tokens, temperature=0, extra_body=extra
            )
            .choices[0]
            .text
        )


def test_the_server_answers_as_one_process_does_and_stops_with_its_worker(tiny_model: Path) -> None:
    engine = load(tiny_model)
    params = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
    expected = alone(engine, engine.tokenizer.encode(PROMPT, add_special=True), params).text
    with running_server(tiny_model, *PARALLEL) as server:
        [worker] = children(server.process.pid)
        with handle(worker) as end:
            assert complete(server, 20) == expected
            os.killpg(server.process.pid, signal.SIGTERM)  # to the process group, as a terminal sends it
            assert server.process.wait(60) == 0
            assert_ends(end)
        assert server.log() == ""


def test_a_server_ends_when_its_worker_does(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running_server(tiny_model, *PARALLEL) as server:
        assert list(tmp_path.glob("serving-*")) != []
        [worker] = children(server.process.pid)
        os.kill(worker, signal.SIGKILL)
        assert server.process.wait(60) == 1
        message = f"serving: tensor parallel worker 1 (process {worker}) was killed by signal 9; the server exits"
        assert message in server.log().splitlines()
    assert list(tmp_path.glob("serving-*")) == []


def test_a_running_request_gets_the_exit_of_the_worker_as_its_error(tiny_model: Path) -> None:
    with running_server(tiny_model, *PARALLEL) as server:
        [worker] = children(server.process.pid)
        with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            stream = client.completions.create(
                model=server.model, prompt=PROMPT, max_tokens=480, stream=True, extra_body={"ignore_eos": True}
            )
            chunks = iter(stream)
            next(chunks)
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(openai.APIError, match=r"worker 1 .* was killed by signal 9"):
                list(chunks)
        assert server.process.wait(60) == 1


def test_a_worker_ends_with_a_server_that_was_killed(tiny_model: Path) -> None:
    with running_server(tiny_model, *PARALLEL) as server:
        [worker] = children(server.process.pid)
        with handle(worker) as end:
            server.process.kill()
            assert_ends(end)


@pytest.mark.model
@pytest.mark.slow
def test_the_default_model_split_unevenly_gives_the_same_answer(model_path: Path) -> None:
    """The model has 9 heads and 3 KV heads: rank 0 gets two KV heads, rank 1 one."""

    def greedy(engine: LLMEngine) -> list[int]:
        prompt = engine.tokenizer.encode("<|im_start|>user\nName a river.<|im_end|>\n<|im_start|>assistant\n")
        return alone(engine, prompt, SamplingParams(temperature=0, max_tokens=16, ignore_eos=True)).token_ids

    knobs = {"block_size": 16, "max_model_len": 512}
    with closing(load(model_path, tensor_parallel_size=2, **knobs)) as two:
        assert greedy(two) == greedy(load(model_path, **knobs))
