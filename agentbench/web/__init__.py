"""The viewer: stored runs and studies as web pages, and the review of attempts by people."""

from agentbench.web.app import make_app
from agentbench.web.viewer import Viewer, viewer_of

__all__ = ["Viewer", "make_app", "viewer_of"]
