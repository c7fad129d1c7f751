"""Model servers: processes we start and stop, and URLs we are given."""
