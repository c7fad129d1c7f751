"""How fast requests end."""

import math
from collections import deque

LATEST = 64
MOST_S = 60


class Pace:
    """Remembers when the latest requests ended. Times are of `time.monotonic`."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=LATEST)

    def ended(self, at: float) -> None:
        self._ends.append(at)

    def retry_after_s(self, now: float) -> int:
        """When the next place in the queue is likely to be free: the mean time between two ends, in whole seconds.

        1 while too little is known to tell, and never more than `MOST_S`.
        """
        if len(self._ends) < 2:
            return 1
        mean = (now - self._ends[0]) / (len(self._ends) - 1)
        return max(1, min(MOST_S, math.ceil(mean)))
