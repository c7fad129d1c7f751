"""Tensor parallelism: the worker processes of the other ranks, and the steps that rank 0 sends to them."""
