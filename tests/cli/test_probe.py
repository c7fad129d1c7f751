"""`agentbench probe`: a server by its URL, and the bundled one with the default model."""

import json

import pytest

from agentbench.loadtest.probe import CHECKS
from tests.backends.chat_server import chat_server
from tests.cli.command_line import agentbench


def test_a_server_by_its_url() -> None:
    with chat_server() as url:
        done = agentbench("probe", url, "--model", "hello", "--json")
    document = json.loads(done.stdout)
    assert document["model"] == "hello"
    holds = {each["name"]: each["holds"] for each in document["checks"]}
    assert list(holds) == [check.name for check in CHECKS]
    assert holds["text"] is holds["usage"] is True
    assert holds["named call"] is holds["ignore_eos"] is False
    assert holds["reasoning"] is None


def test_a_table() -> None:
    with chat_server() as url:
        done = agentbench("probe", url, "--model", "hello")
    assert "hello: 3 of 11 hold" in done.stdout
    assert "tool_choice names the tool" in done.stdout
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [check.name for check in CHECKS]


def test_no_server_is_one_line() -> None:
    done = agentbench("probe", "http://127.0.0.1:9/v1", "--model", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_model_is_one_line() -> None:
    done = agentbench("probe", "smollm2")
    assert done.returncode == 2
    assert "model 'smollm2' is neither a known name" in done.stderr


@pytest.mark.slow
def test_the_bundled_server_with_the_default_model() -> None:
    """The server's part holds whatever the model: counts, lengths, schemas and forced calls."""
    checks = json.loads(agentbench("probe", "smollm2-135m-instruct", "--json").stdout)["checks"]
    holds = {each["name"]: each["holds"] for each in checks}
    for name in ("text", "usage", "logprobs", "ignore_eos", "schema", "named call", "required call", "no call"):
        assert holds[name] is True, checks
