"""Exports of a run: as tables for other tools, or as one file for another store."""
