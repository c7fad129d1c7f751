"""Datasets: where a suite's cases come from."""
