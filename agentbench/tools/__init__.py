"""Tools that an agent can call."""

from agentbench.tools.function import FunctionTool
from agentbench.tools.toolbox import CaseToolbox, load_tools, opened_toolbox, refuse_clashes

__all__ = ["CaseToolbox", "FunctionTool", "load_tools", "opened_toolbox", "refuse_clashes"]
