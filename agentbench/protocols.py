"""The former place of names that `agentbench` has now; it goes with the next release."""

import warnings

from agentbench.core.protocols import Agent, ChatClient, ChatRequest, Scorer, Toolbox

__all__ = ["Agent", "ChatClient", "ChatRequest", "Scorer", "Toolbox"]

warnings.warn("agentbench.protocols has moved: import from agentbench", DeprecationWarning, stacklevel=2)
