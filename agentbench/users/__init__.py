"""Simulated users: who speaks after the agent in a case of several turns."""
