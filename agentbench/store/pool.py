"""A pool of database connections that leaves none open once it is disposed of."""

from sqlalchemy.pool import ConnectionPoolEntry, QueuePool


class ClosingPool(QueuePool):
    """After `dispose` it keeps no connection: one that a thread still had is closed when it comes back.

    SQLAlchemy's own would keep it until it is garbage, unclosed.
    """

    _disposed = False

    def dispose(self) -> None:
        self._disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._disposed:  # asked after it is in the pool, where whoever disposes meanwhile finds it
            super().dispose()
