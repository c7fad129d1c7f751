"""Kernels that are compiled from C++ on first use and called by ctypes. They know nothing about models or requests."""
