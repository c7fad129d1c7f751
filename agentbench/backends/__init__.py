"""Backends: what answers a chat request."""
