"""The viewer: stored runs and studies as web pages, and people's review of attempts."""
