"""The command `python -m serving`: its options, its errors, and the start and end of the process."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from pydantic import BaseModel

from serving.__main__ import main, resolve_model
from serving.config import OPTION_GROUPS, ServingConfig, UsageError, parse_options
from tests.serving.server_process import COMMAND, ROOT, running_server

# A parent process that starts the server, prints its pid, and waits for it.
PARENT = """\
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The command's only line on standard error, after a usage error with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return line


def test_every_knob_is_an_option_and_a_setting() -> None:
    options = parse_options(
        ["--model", "m.gguf", "--max-num-seqs", "4", "--set", "chunked_prefill=false", "--set", "dtype=float32"]
    )
    config = options.config
    assert (config.engine.max_num_seqs, config.engine.chunked_prefill, config.engine.dtype) == (4, False, "float32")
    assert (config.model, config.http.port, options.exit_with_parent) == (Path("m.gguf"), 8000, False)


def test_each_option_is_defined_once() -> None:
    groups: list[type[BaseModel]] = [*OPTION_GROUPS.values(), ServingConfig]
    names = [name for group in groups for name in group.model_fields if name not in OPTION_GROUPS]
    assert len(names) == len(set(names))


def test_an_unknown_knob_is_named_with_the_nearest_first(capsys: pytest.CaptureFixture[str]) -> None:
    line = failure(capsys, "--model", "m", "--set", "max_num_seq=3")
    assert "no such knob 'max_num_seq'; the knobs, nearest first: max_num_seqs, " in line
    assert "kv_cache_memory_mb" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "max_num_seqs=many"), "max_num_seqs=many: Input should be a valid integer"),
        (("--max-num-seqs", "0"), "max_num_seqs=0: Input should be greater than 0"),
        (("--set", "dtype"), "write it as key=value"),
        (("--set", "dtype=int3"), "dtype=int3: Input should be 'auto', 'bfloat16'"),
        (("--max-num-sequences", "3"), "unrecognized arguments: --max-num-sequences 3"),
        ((), "there is no model at m.gguf"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in failure(capsys, "--model", "m.gguf", *arguments)


def test_the_model_is_required() -> None:
    with pytest.raises(UsageError, match="--model"):
        parse_options([])


def test_a_port_in_use_is_found_before_the_model_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"nothing")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = failure(capsys, "--model", str(model), "--port", str(port))
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in line


@pytest.mark.long
@pytest.mark.parametrize("content", [b"", b"nothing like a model", b"GGUF" + bytes(range(60))])
def test_a_corrupt_model_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(content)
    assert "broken.gguf" in failure(capsys, "--model", str(model), "--port", "0")


def test_help_explains_every_knob_without_importing_torch() -> None:
    code = "import sys, serving.__main__ as m\ntry: m.main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "--max-num-batched-tokens N" in done.stdout
    assert "Maximum number of sequences in one step. Default: 32." in done.stdout


@pytest.mark.model
def test_a_stop_signal_lets_running_requests_end(model_path: Path) -> None:
    with running_server(model_path, "--served-model-name", "small") as server:
        assert server.model == "small"
        with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            stream = client.completions.create(model="small", prompt="One, two,", max_tokens=20, stream=True)
            chunks = iter(stream)
            next(chunks)
            server.process.send_signal(signal.SIGTERM)
            assert [chunk.choices[0].finish_reason for chunk in chunks][-1] in ("length", "stop")
        assert server.process.wait(60) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""


@contextmanager
def owned_server(model_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a parent process that starts a server. Yields the parent and the server's pid; both share one output."""
    server = (*COMMAND, "--model", str(model_path), "--port", "0", "--exit-with-parent")
    with subprocess.Popen(
        (sys.executable, "-c", PARENT, *server), cwd=ROOT, stdout=subprocess.PIPE, bufsize=0
    ) as parent:
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())


@pytest.mark.model
@pytest.mark.parametrize("loading", [True, False])
def test_a_server_ends_with_a_parent_that_was_killed(model_path: Path, loading: bool) -> None:
    with owned_server(model_path) as (parent, pid):
        assert parent.stdout is not None
        server = os.pidfd_open(pid)  # readable once the process has ended
        try:
            if not loading:
                assert parent.stdout.readline().startswith(b"serving ")
            parent.kill()
            assert select.select([server], [], [], 30)[0], "the server outlived its parent"
        finally:
            os.close(server)
        assert parent.stdout.read() == b""


def test_a_process_that_does_not_lead_its_group_kills_only_itself() -> None:
    """A server that does not lead its process group must not kill its siblings."""
    code = "import time; from serving.lifeline import end_with_parent; end_with_parent(); time.sleep(60)"
    process = subprocess.Popen((sys.executable, "-c", code), cwd=ROOT, stdin=subprocess.PIPE)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def test_a_host_other_than_loopback_needs_a_key_or_open_access(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = failure(capsys, "--model", str(tmp_path), "--host", "0.0.0.0")
    assert "other machines can reach the server there, and it has no API key" in line
    assert "--api-key @FILE" in line
    for more in (("--open-access", "true"), ("--api-key", "k")):
        line = failure(capsys, "--model", str(tmp_path), "--host", "0.0.0.0", "--port", "0", *more)
        assert "config.json" in line


def test_a_pulled_model_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTBENCH_CACHE", str(tmp_path))
    file = tmp_path / "small-model" / "abc" / "Small.Q4_1.gguf"
    file.parent.mkdir(parents=True)
    file.touch()
    config = resolve_model(parse_options(["--model", "small-model"]).config)
    assert (config.model, config.served_model_name) == (file, "small-model")
    named = resolve_model(parse_options(["--model", "small-model", "--served-model-name", "s"]).config)
    assert named.served_model_name == "s"
    with pytest.raises(UsageError, match=r"no model at other: .* a pulled model's name \(small-model\)"):
        resolve_model(parse_options(["--model", "other"]).config)
