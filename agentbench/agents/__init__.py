"""Agents: they work on cases."""
