"""Tools that an agent can call."""

from agentbench.tools.clashes import refuse_clashes
from agentbench.tools.function import FunctionTool
from agentbench.tools.loading import load_tools
from agentbench.tools.toolbox import CaseToolbox, opened_toolbox

__all__ = ["CaseToolbox", "FunctionTool", "load_tools", "opened_toolbox", "refuse_clashes"]
