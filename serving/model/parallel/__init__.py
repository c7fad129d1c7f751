"""Tensor parallelism: each process computes a part of every layer (Shoeybi et al. 2019)."""
