"""Attention over a paged KV cache: the protocol and its implementations."""
