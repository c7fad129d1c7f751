"""Agents: what works on a case."""
