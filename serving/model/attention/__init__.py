"""Attention over a paged KV cache: one protocol and its implementations."""
