"""agentbench tests, evaluates and tunes LLM agents together with the model server under them.

Import the types for your own agent, tool or scorer from here. In a notebook, `agentbench.load` and `agentbench.compare`
read stored runs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agentbench.version import __version__

if TYPE_CHECKING:
    from agentbench.core.attempt import Score
    from agentbench.core.case import Case
    from agentbench.core.protocols import Agent, ChatClient, ChatRequest, Scorer, Toolbox
    from agentbench.core.trace import Trace
    from agentbench.notebook import compare, load

HOMES = {
    "Agent": "agentbench.core.protocols",
    "Case": "agentbench.core.case",
    "ChatClient": "agentbench.core.protocols",
    "ChatRequest": "agentbench.core.protocols",
    "Score": "agentbench.core.attempt",
    "Scorer": "agentbench.core.protocols",
    "Toolbox": "agentbench.core.protocols",
    "Trace": "agentbench.core.trace",
    "compare": "agentbench.notebook",
    "load": "agentbench.notebook",
}

__all__ = [
    "Agent",
    "Case",
    "ChatClient",
    "ChatRequest",
    "Score",
    "Scorer",
    "Toolbox",
    "Trace",
    "__version__",
    "compare",
    "load",
]


def __getattr__(name: str) -> Any:
    """Imports a name on first use, so that commands and pytest runs that do not need it do not wait for it."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
