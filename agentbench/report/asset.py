"""Style sheets and scripts that pages have in them, or that the viewer serves."""

from functools import cache
from importlib.resources import files


@cache
def asset(name: str) -> str:
    """The text of a file of agentbench/report/static."""
    return (files("agentbench.report") / "static" / name).read_text(encoding="utf-8")
