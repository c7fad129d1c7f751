"""Waiting for a PostgreSQL server that is away: restarted, failed over, cut off for a while."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from agentbench.core.errors import UserError
from agentbench.store.url import shown

Result = TypeVar("Result")

PATIENCE_S = 300.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LOG = logging.getLogger(__name__)


class Patience:
    """Does work again, with growing pauses, for as long as the server is away and patience lasts.

    The work must bear being done twice: a transaction whose end was lost may have been committed.
    """

    def __init__(self, engine: Engine, patience_s: float = PATIENCE_S) -> None:
        self._engine = engine
        self._patience_s = patience_s

    def is_away(self, error: DBAPIError) -> bool:
        """Whether the error is of the connection, not of what was asked."""
        return self._engine.dialect.name == "postgresql" and isinstance(error, OperationalError)

    def insist(self, work: Callable[[bool], Result]) -> Result:
        """What `work` returns; it is told whether it may have been done before."""
        pause, since, again = FIRST_PAUSE_S, time.monotonic(), False
        while True:
            try:
                return work(again)
            except DBAPIError as error:
                if not self.is_away(error):
                    raise
                if time.monotonic() - since > self._patience_s:
                    name, reason = shown(self._engine.url), " ".join(str(error.orig).split())
                    raise UserError(
                        f"the store {name} has been away for {self._patience_s:g} s: {reason}."
                        " What was stored is kept; go on later with --resume."
                    ) from error
                if not again:
                    LOG.warning("the store %s is away; waiting for it", shown(self._engine.url))
            again = True
            self._engine.dispose()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
