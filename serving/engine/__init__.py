"""The engine: schedules sequences, computes steps and samples tokens, in its own thread."""
