"""The former place of names that `agentbench` has now; it goes with the next release."""

import warnings

from agentbench.core.case import Case

__all__ = ["Case"]

warnings.warn("agentbench.case has moved: import from agentbench", DeprecationWarning, stacklevel=2)
