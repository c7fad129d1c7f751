"""The recording gateway: an OpenAI-compatible base URL for each attempt, so that any framework's calls are recorded."""

from agentbench.gateway.gateway import Gateway
from agentbench.gateway.route import Route

__all__ = ["Gateway", "Route"]
