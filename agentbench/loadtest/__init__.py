"""Load on an OpenAI-compatible server, and what it measures. Imports nothing heavy by itself."""
