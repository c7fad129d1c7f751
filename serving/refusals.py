"""Why the engine does not take a request, or can no longer answer one."""


class PromptTooLong(ValueError):
    """The prompt leaves no room for an answer."""


class EngineOverloaded(RuntimeError):
    """Too many requests wait already; try again later."""


class MachineFailed(RuntimeError):
    """Part of the machine is gone. Its words are for every client: they are never of a request."""
