"""`agentbench power`: how many cases a gate needs for the drop one cares about."""

from typing import Annotated

import typer

from agentbench.errors import UserError


def power_command(
    difference: Annotated[float, typer.Option(help="The drop in pass rate to be found (0.05 = 5 points).")],
    pass_rate: Annotated[float, typer.Option(help="The pass rate expected of the baseline.")],
    flips: Annotated[
        float | None,
        typer.Option(help="Share of verdicts that differ between two equal runs.", show_default="half of chance"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of each case.")] = 1,
    alpha: Annotated[float, typer.Option(help="Share of unchanged runs that the gate may fail.")] = 0.05,
    power: Annotated[float, typer.Option(help="Probability with which the drop is to be found.")] = 0.8,
) -> None:
    """Say how many cases a regression gate needs to find a drop in pass rate."""
    from agentbench.stats.planning import cases_needed, planned

    for name, value in (("pass-rate", pass_rate), ("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UserError(f"--{name} {value:g} is not between 0 and 1; give a fraction, as in --{name} 0.8")
    found = pass_rate * (1 - pass_rate) if flips is None else flips
    cases = cases_needed(difference, pass_rate, found, repeats, alpha, power)
    reached = planned(cases, pass_rate, found, repeats).of(difference, alpha)
    runs = f" × {repeats} repeats" if repeats > 1 else ""
    typer.echo(
        f"{cases} cases{runs} find a drop of {100 * difference:g} points from {100 * pass_rate:g} %"
        f" with power {reached:.2f} (α = {alpha:g}, {100 * found:.1f} % of verdicts flip between equal runs)"
    )
