"""Reports of stored runs: views that hold every number, and their rendering."""

from agentbench.report.compare_view import CompareView, compare_view
from agentbench.report.run_view import RunView, run_view

__all__ = ["CompareView", "RunView", "compare_view", "run_view"]
