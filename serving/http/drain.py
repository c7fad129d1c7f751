"""The time between a stop signal and the end."""


class Drain:
    """Whether the server is about to stop; running requests have `seconds` left then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = False

    def begin(self) -> None:
        self.begun = True
