"""Tools and arguments that go wrong in unusual ways are still the call's error."""

import pytest

from agentbench.tools import CaseToolbox, FunctionTool


def unreachable() -> str:
    """Its own timeout, not the toolbox's."""
    raise TimeoutError("no answer from the service")


def leaving() -> str:
    """Exits."""
    raise SystemExit(3)


async def leaving_the_loop() -> str:
    """Exits, in the loop."""
    raise SystemExit(4)


def exhausted() -> str:
    """Raises what a thread can't hand over."""
    return str(next(iter([])))


def echo(text: str = "none") -> str:
    """Says it back."""
    return text


def shadowing(schema: str, copy: int = 1, _kept: int = 0, model_config: bool = False) -> str:
    """Parameters whose names pydantic has uses for."""
    return f"{schema}/{copy}/{_kept}/{model_config}"


TOOLS = [FunctionTool(each) for each in (unreachable, leaving, leaving_the_loop, exhausted, echo, shadowing)]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("unreachable", "{}", "TimeoutError: no answer from the service"),
        ("leaving", "{}", "SystemExit: 3"),
        ("leaving_the_loop", "{}", "SystemExit: 4"),
        ("exhausted", "{}", "RuntimeError: the function raised StopIteration"),
        ("echo", '{"text": ' + "9" * 5000 + "}", "the arguments are not valid JSON: Exceeds the limit"),
        ("echo", '{"text": NaN}', "the arguments are not valid JSON: NaN is not a JSON number"),
        ("echo", "[" * 100_000, "the arguments are not valid JSON"),
    ],
    ids=lambda value: value[:24],
)
async def test_what_goes_wrong_is_the_calls_error(name: str, arguments: str, error: str) -> None:
    call = await CaseToolbox(TOOLS, []).call(name, arguments)
    assert error in str(call.error)
    assert call.result is None


async def test_no_arguments_at_all_are_none() -> None:
    assert (await CaseToolbox(TOOLS, []).call("echo", "")).result == "none"


async def test_parameters_may_have_any_name() -> None:
    assert list(TOOLS[-1].spec.parameters["properties"]) == ["schema", "copy", "_kept", "model_config"]
    call = await CaseToolbox(TOOLS, []).call("shadowing", {"schema": "s", "_kept": 2, "model_config": True})
    assert call.result == "s/1/2/True"
