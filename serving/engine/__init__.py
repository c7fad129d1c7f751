"""The engine: it schedules sequences, computes steps, samples tokens, and runs in a thread of its own."""
