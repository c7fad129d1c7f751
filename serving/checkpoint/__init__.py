"""Reads models from disk: GGUF files and Hugging Face directories, with their tokenizers."""
