"""Reports of stored runs: views that hold every number, and their rendering."""
