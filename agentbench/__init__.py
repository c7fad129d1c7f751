"""agentbench tests, evaluates and tunes LLM agents together with the model server under them."""

__version__ = "0.1.0"
