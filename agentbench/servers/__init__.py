"""Model servers: processes that agentbench starts and stops, and URLs."""
