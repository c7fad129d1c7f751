"""The pytest plugin: a suite.yaml is a test file, each of its cases an item."""
