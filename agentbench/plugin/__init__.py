"""The pytest plugin: a suite.yaml is a test file, and each of its cases is an item."""
