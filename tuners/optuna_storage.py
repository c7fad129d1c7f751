"""Optuna's study of a study, in the database of the store: its own tables, which its dashboard reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any

from agentbench.store.url import database_url
from tuners.installed import needs

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

BUSY_S = 60
TRIES, PAUSE_S = 5, 0.5


@contextmanager
def opened_trials(db: str | None, name: str) -> Iterator["Study"]:
    """The trials of the study of this name, made when there are none."""
    needs("optuna", "tuning", "tune")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = database_url(db)
    waiting = {"connect_args": {"timeout": BUSY_S}} if url.get_backend_name() == "sqlite" else {"pool_pre_ping": True}
    storage = _storage(url.render_as_string(hide_password=False), waiting)
    try:
        yield optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _storage(url: str, options: dict[str, Any]) -> "RDBStorage":
    """Tried again where another process makes the tables at the same time."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DBAPIError

    for left in reversed(range(TRIES)):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except DBAPIError:
            if not left:
                raise
            sleep(PAUSE_S)
    raise AssertionError("not reached")
