"""Load tests of an OpenAI-compatible server. The package itself imports nothing heavy."""
