"""Scorers: they grade finished attempts."""
