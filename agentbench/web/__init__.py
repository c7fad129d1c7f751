"""The viewer: stored runs and studies as web pages, and the review of attempts by people."""
