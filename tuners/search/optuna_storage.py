"""The Optuna study of a study, in Optuna's own tables in the store's database, which Optuna's dashboard can read."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any

from agentbench.extras import needs
from agentbench.store.url import database_url
from agentbench.suite.config import canonical_hash
from tuners.space.parameters import Choices
from tuners.space.space import Space, labels_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

SHAPE = "space"
"""The attribute of Optuna's study with a key of its trials' choices."""

EXTENDED_AT = "extended_at"
"""The attribute with the number of trials when the space got more choices."""

BUSY_S = 60
TRIES, PAUSE_S = 5, 0.5


@contextmanager
def opened_trials(db: str | None, name: str, space: Space) -> Iterator[tuple["Study", "RDBStorage"]]:
    """The Optuna study of this name over this space, created if needed, and its storage."""
    with _opened(db) as storage:
        yield _of_space(storage, name, space) or _create(storage, name, space), storage


def extend_trials(db: str | None, name: str, before: Space, space: Space) -> None:
    """Copies a study's trials to another one over a space with more choices, since Optuna's categories are fixed.

    Trial numbers and values stay the same. An interrupted copy is repeated.
    """
    with _opened(db) as storage:
        old = _of_space(storage, name, before)
        if old is None or _of_space(storage, name, space) is not None:
            return
        number = _generations(storage, name) + 1
        new = _create(storage, f"{name} ({number})", None)
        for trial in old.get_trials():
            new.add_trial(_with_choices(trial, before, space))
        new.set_user_attr(EXTENDED_AT, len(old.get_trials()))
        new.set_user_attr(SHAPE, _shape(space))


@contextmanager
def _opened(db: str | None) -> Iterator["RDBStorage"]:
    needs("optuna", "tuning", "tune")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = database_url(db)
    waiting = {"connect_args": {"timeout": BUSY_S}} if url.get_backend_name() == "sqlite" else {"pool_pre_ping": True}
    storage = _storage(url.render_as_string(hide_password=False), waiting)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _create(storage: "RDBStorage", name: str, space: Space | None) -> "Study":
    import optuna

    sampler = optuna.samplers.RandomSampler()
    new = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True, sampler=sampler
    )
    if space is not None:
        new.set_user_attr(SHAPE, _shape(space))
    return new


def _of_space(storage: "RDBStorage", name: str, space: Space) -> "Study | None":
    """The study, or its extension, whose trials are over this space; None when there is none yet."""
    import optuna

    for number in range(1, _generations(storage, name) + 1):
        called = name if number == 1 else f"{name} ({number})"
        found = optuna.load_study(storage=storage, study_name=called, sampler=optuna.samplers.RandomSampler())
        if found.user_attrs.get(SHAPE) == _shape(space):
            return found
    return None


def _generations(storage: "RDBStorage", name: str) -> int:
    """The number of generations: the study and its extensions. An unfinished extension is removed."""
    import optuna

    names = set(optuna.get_all_study_names(storage))
    number = 1 if name in names else 0
    while (called := f"{name} ({number + 1})") in names:
        if SHAPE not in optuna.load_study(storage=storage, study_name=called).user_attrs:
            optuna.delete_study(storage=storage, study_name=called)
            break
        number += 1
    return number


def _shape(space: Space) -> str:
    """A key that is equal for spaces with equal choices."""
    choices = {path: each.choices for path, each in space.parameters.items() if isinstance(each, Choices)}
    return canonical_hash({path: list(labels_of(values)) for path, values in choices.items()})


def _with_choices(trial: "FrozenTrial", before: Space, space: Space) -> "FrozenTrial":
    """The trial with the same values, over more choices."""
    from optuna.distributions import CategoricalDistribution

    params, distributions = dict(trial.params), dict(trial.distributions)
    for path, label in trial.params.items():
        old, new = before.parameters.get(path), space.parameters.get(path)
        if isinstance(old, Choices) and isinstance(new, Choices):
            labels = labels_of(new.choices)
            params[path] = labels[labels_of(old.choices).index(label)]
            distributions[path] = CategoricalDistribution(labels)
    trial.params = {}
    trial.distributions = distributions
    trial.params = params
    return trial


def _storage(url: str, options: dict[str, Any]) -> "RDBStorage":
    """Optuna's storage; creating it is repeated when another process creates the tables at the same time."""
    from sqlalchemy.exc import DBAPIError

    for left in reversed(range(TRIES)):
        try:
            return _connected(url, options)
        except DBAPIError:
            if not left:
                raise
            sleep(PAUSE_S)
    raise AssertionError("not reached")


def _connected(url: str, options: dict[str, Any]) -> "RDBStorage":
    """Optuna's storage. On failure, no connection stays open."""
    from optuna.storages import RDBStorage

    storage = RDBStorage.__new__(RDBStorage)  # so that its engine can be closed when its constructor raises
    try:
        RDBStorage.__init__(storage, url, engine_kwargs=options)
    except BaseException:
        if engine := getattr(storage, "engine", None):
            engine.dispose()
        raise
    return storage
