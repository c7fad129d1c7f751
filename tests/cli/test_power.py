"""`agentbench power` as a user types it."""

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.core.errors import UserError


def test_it_says_how_many_cases_are_needed() -> None:
    found = CliRunner().invoke(app, ["power", "--difference", "0.05", "--pass-rate", "0.7", "--flips", "0.1"])
    assert found.exit_code == 0, found.output
    assert " cases find a drop of 5 points from 70 % with power 0.8" in found.output
    repeated = CliRunner().invoke(app, ["power", "--difference", "0.05", "--pass-rate", "0.7", "--repeats", "4"])
    assert "× 4 repeats" in repeated.output


def test_what_is_no_fraction_is_refused() -> None:
    with pytest.raises(UserError, match="--pass-rate 70 is not between 0 and 1"):
        CliRunner().invoke(app, ["power", "--difference", "5", "--pass-rate", "70"], catch_exceptions=False)
