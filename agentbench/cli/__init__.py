"""The command line. Each command is a module; what it needs is imported when it runs."""

from agentbench.cli.app import main

__all__ = ["main"]
