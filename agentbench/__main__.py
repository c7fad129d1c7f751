"""`python -m agentbench` is the `agentbench` command."""

from agentbench.cli import main

if __name__ == "__main__":
    main()
