"""Tensor parallelism of an engine: the processes of the other ranks, and how steps reach them."""
