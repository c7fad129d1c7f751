"""agentbench tests, evaluates and tunes LLM agents together with the model server under them.

In a notebook, `agentbench.load` and `agentbench.compare` read stored runs.
"""

from typing import TYPE_CHECKING, Any

from agentbench.version import __version__

if TYPE_CHECKING:
    from agentbench.notebook import compare, load


__all__ = ["__version__", "compare", "load"]


def __getattr__(name: str) -> Any:
    """What only a notebook needs is imported when it is used."""
    if name not in ("compare", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agentbench import notebook

    return getattr(notebook, name)
