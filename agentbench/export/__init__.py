"""A run taken out of its store: as tables for other tools, or as one file for another store."""
