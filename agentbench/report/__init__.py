"""Reports of stored runs: a view holds every number, and tables and pages render it."""
