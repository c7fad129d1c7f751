"""HTTP to a model server, with the time at which each byte of an answer came. Knows nothing of what the bytes say."""
