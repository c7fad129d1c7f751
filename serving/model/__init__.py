"""Model architectures: their configuration, their computation, and the registry of names."""
