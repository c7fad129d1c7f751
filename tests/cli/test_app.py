"""The command line: what it imports, and what it says of a mistake."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, agentbench, process, refused

HEAVY = ("torch", "pandas", "optuna", "sqlalchemy", "scipy", "numpy", "openai", "alembic", "playwright", "mpmath")


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = (line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["serve"],
        ["compare"],
        ["show"],
        ["runs"],
        ["pull"],
        ["doctor"],
        ["bench"],
        ["review"],
        ["agreement"],
    ],
)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    found = imported("-m", "agentbench", *command, "--help")
    assert "agentbench" in found
    assert found.isdisjoint(HEAVY), found & set(HEAVY)


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported("-c", "import agentbench, agentbench.plugin.hooks").isdisjoint(HEAVY)


def test_every_option_has_help() -> None:
    for command in (
        "run",
        "serve",
        "compare",
        "show",
        "runs",
        "pull",
        "doctor",
        "probe",
        "bench",
        "review",
        "label",
        "agreement",
    ):
        text = agentbench(command, "--help", COLUMNS="200").stdout
        options = [line.strip(" │|") for line in text.splitlines() if line.strip(" │|").startswith("--")]
        assert options, command
        for line in options:
            assert len(line.split("  ")) > 1, f"{command}: {line}"


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "suites/bfcl_simpel"], "unknown suite 'suites/bfcl_simpel'. Did you mean 'suites/bfcl_simple'"),
        (["run", "suites/arithmetic", "--set", "agent=tool_lop"], "unknown agent 'tool_lop'. Did you mean 'tool_loop'"),
        (["run", "suites/arithmetic", "--backend", "scriptd"], "unknown backend 'scriptd'. Did you mean 'scripted'"),
        (
            ["run", "suites/arithmetic", "--set", "agent.outptu=free"],
            "Did you mean 'output'? Valid keys: demonstrations",
        ),
        (["run", "suites/arithmetic", "--set", "serving.dtype=int3"], "serving.dtype = 'int3'"),
        (["run", "suites/arithmetic", "--set", "serving.max_num_seq=3"], "Did you mean 'max_num_seqs'"),
        (["run", "suites/arithmetic", "--set", "output=free"], "expected PATH=VALUE with a path under agent, serving"),
        (["run"], "which suite? For example: agentbench run suites/arithmetic"),
        (["run", "suites/arithmetic", "--resume", "x"], "--resume RUN continues with that run's own suite"),
        (["run", "suites/arithmetic", "--backend", "http://127.0.0.1:9/v1"], "http://127.0.0.1:9/v1 can't be reached"),
        (["pull", "smollm"], "unknown model or data set 'smollm'. Did you mean 'smollm2-135m-instruct'"),
        (["serve", "--model", "gpt-5"], "model 'gpt-5' is neither a known name (gemma3-270m, qwen2.5-coder"),
        (["show", "nothing"], "there is no store at"),
        (["run", "--resume", "nothing"], "nothing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], message: str, db: str) -> None:
    assert message in refused(agentbench(*arguments, AGENTBENCH_DB=db))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--nonsense"], "No such option: --nonsense"),
        (["run", "suites/arithmetic", "--limit", "0"], "Input should be greater than or equal to 1"),
        (["rnu"], "No such command 'rnu'"),
        (["show", "latest", "--repeat", "x"], "--repeat"),
    ],
)
def test_a_bad_option_is_told_and_exits_with_2(arguments: list[str], message: str) -> None:
    done = agentbench(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_yaml_names_file_line_and_key(tmp_path: Path, db: str) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("name: x\ndataset: jsonl\nscorers: [exact]\nagnet: chat\n")
    line = refused(agentbench("run", str(suite), AGENTBENCH_DB=db))
    assert f"{suite}:4: unknown key 'agnet'. Did you mean 'agent'? Valid keys: agent, backend" in line


def test_a_model_that_is_not_pulled_names_the_command(tmp_path: Path, db: str) -> None:
    done = agentbench("run", "suites/arithmetic", AGENTBENCH_DB=db, AGENTBENCH_CACHE=str(tmp_path / "empty"))
    assert "run: agentbench pull smollm2-135m-instruct" in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_corrupt_model_is_told(tmp_path: Path, db: str) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + os.urandom(64))
    done = agentbench("run", "suites/arithmetic", "--set", f"serving.model={broken}", cwd=ROOT, AGENTBENCH_DB=db)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "the bundled server did not start" in last
    assert "broken.gguf" in last
    assert "broken.gguf" in refused(process("serve", "--model", str(broken), "--port", "0"))


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    model = tmp_path / "some.gguf"
    model.write_bytes(b"GGUF")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(process("serve", "--model", str(model), "--port", port))
    assert port in line
    assert "in use" in line


@pytest.mark.parametrize("command", [["run", "suites/arithmetic", "--backend", "scripted"], ["runs"]])
def test_a_store_that_can_not_be_written_is_told(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(agentbench(*command, "--db", str(tmp_path / "file" / "store.db")))
    assert str(tmp_path / "file") in line


def test_a_run_is_stored_printed_and_shown(db: str, tmp_path: Path) -> None:
    def output(*arguments: str) -> str:
        done = agentbench(*arguments, AGENTBENCH_DB=db, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    suite = str(ROOT / "suites" / "arithmetic")
    say = ["--backend", "scripted", "--set", "backend.default=It is 84"]
    first = json.loads(output("run", suite, *say, "--label", "one", "--repeats", "2", "--json"))
    text = output("run", suite, *say, "--limit", "5", "--sample-seed", "1", "--label", "two")
    assert "Right / wrong / failed" in text
    assert [each["label"] for each in json.loads(output("runs", "--json"))] == ["two", "one"]
    shown = json.loads(output("show", "one", "--json"))
    assert shown["id"] == first["id"]
    assert output("show", "one", "--case", "arithmetic_05").count("It is 84") >= 1
    compared = output("compare", "one", "two")
    assert "one" in compared
    assert "two" in compared
    assert "Accuracy" in compared
    assert json.loads(output("compare", "latest~1", "latest", "--json"))


def test_doctor_says_what_there_is() -> None:
    facts = json.loads(agentbench("doctor", "--json").stdout)
    assert facts["extras"]["serving"]["torch"]
    assert {"callable", "chat", "command", "tool_loop"} <= set(facts["registered"]["agents"])
    assert {item["name"] for item in facts["models_and_data"]} >= {"bfcl", "smollm2-135m-instruct"}
    assert "smollm2-135m-instruct" in agentbench("doctor").stdout


def test_a_process_of_its_own_says_the_same() -> None:
    assert process("--version").stdout == agentbench("--version").stdout
    assert process("--version").stdout.startswith("agentbench 0.")
    arguments = ["run", "suites/bfcl_simpel"]
    assert refused(process(*arguments)) == refused(agentbench(*arguments))
