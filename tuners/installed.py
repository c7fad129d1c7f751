"""Whether an optional package is there, asked before anything is stored or started."""

from importlib.util import find_spec

from agentbench.core.errors import UserError
from agentbench.extras import install_hint


def needs(package: str, what: str, extra: str) -> None:
    """`UserError` that says how to install it."""
    if find_spec(package) is None:
        raise UserError(f"{what} needs {package}: {install_hint(extra)}")
