"""Kernels compiled from C++ on first use, called through ctypes. Nothing here knows of models or requests."""
