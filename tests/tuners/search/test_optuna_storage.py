"""Optuna's tables in the database of the store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from tuners.search import optuna_storage
from tuners.search.optuna_storage import opened_trials
from tuners.space.parameters import Choices
from tuners.space.space import Space

SPACE = Space(parameters={"agent.a": Choices(choices=(0, 1))})


def test_trials_leave_no_connection(tmp_path: Path, open_connections: Callable[[], int]) -> None:
    for _ in range(2):
        with opened_trials(str(tmp_path / "a.db"), "one", SPACE) as (study, _):
            study.tell(study.ask(), 1.0)
        assert open_connections() == 0


def test_a_database_that_can_t_be_opened_leaves_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_connections: Callable[[], int]
) -> None:
    monkeypatch.setattr(optuna_storage, "PAUSE_S", 0.0)
    path = tmp_path / "a.db"
    path.write_text("a text that is long enough to be read as the head of a file\n" * 20)
    with pytest.raises(DatabaseError, match="not a database"), opened_trials(str(path), "one", SPACE):
        pass
    assert open_connections() == 0
