"""Why the engine does not take a request."""


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer."""


class EngineOverloaded(RuntimeError):
    """Too many requests wait already; try again later."""
