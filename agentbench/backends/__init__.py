"""Backends: they answer chat requests."""
