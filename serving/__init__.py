"""The bundled inference backend: a stand-alone, OpenAI-compatible engine in PyTorch."""
