"""Scorers: what grades a finished attempt."""
