"""Simulated users: they speak after the agent in a case of several turns."""
