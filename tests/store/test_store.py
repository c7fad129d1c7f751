"""The store's contract on SQLite and PostgreSQL; any attempt is read back unchanged."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agentbench.core.attempt import Attempt
from agentbench.core.case import Case
from agentbench.core.run import Run
from agentbench.store import AlreadyStored, Store, open_store
from agentbench.testing import StoreContract
from agentbench.testing.store_samples import a_case, a_run, an_attempt
from tests.store.strategies import attempts, json_objects, json_values, text

round_trips = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def numbers() -> Iterator[int]:
    """Numbers for run ids: each example of a property-based test has its own run."""
    return count()


def check_round_trip(
    store: Store, run_id: str, attempt: Attempt, expected: object, metadata: dict[str, object], name: str
) -> None:
    run = a_run(run_id, label=name, config=metadata, environment=metadata)
    case = Case(id=attempt.case_id, messages=(metadata,), expected=expected, metadata=metadata)
    store.create_run(run)
    store.add_attempt(run.id, attempt, case)
    assert store.get_run(run.id) == run
    assert store.attempts(run.id) == [attempt]
    assert store.case(run.id, attempt.case_id) == case


class TestSqlite(StoreContract):
    @pytest.fixture
    def url(self, sqlite_database: str) -> str:
        return sqlite_database

    @round_trips
    @given(attempt=attempts, expected=json_values, metadata=json_objects, name=text)
    def test_any_attempt_and_case_round_trip(
        self,
        store: Store,
        numbers: Iterator[int],
        attempt: Attempt,
        expected: object,
        metadata: dict[str, object],
        name: str,
    ) -> None:
        check_round_trip(store, f"run-{next(numbers)}", attempt, expected, metadata, name)


@pytest.mark.postgres
class TestPostgresql(StoreContract):
    @pytest.fixture
    def url(self, postgresql_database: str) -> str:
        return postgresql_database

    @round_trips
    @given(attempt=attempts, expected=json_values, metadata=json_objects, name=text)
    def test_any_attempt_and_case_round_trip(
        self,
        store: Store,
        numbers: Iterator[int],
        attempt: Attempt,
        expected: object,
        metadata: dict[str, object],
        name: str,
    ) -> None:
        check_round_trip(store, f"run-{next(numbers)}", attempt, expected, metadata, name)


def test_values_that_json_lacks_are_stored_as_similar_json_values(tmp_path: Path) -> None:
    from datetime import date

    values = {"day": date(2026, 1, 2), "set": {"b", "a"}, "nested": ({"x": (1, 2)},)}
    with open_store(str(tmp_path / "a.db")) as store:
        store.create_run(a_run())
        store.add_attempt("run-1", an_attempt(), Case(id="paris", messages=(), metadata=values))
        stored = store.case("run-1", "paris").metadata
    assert stored == {"day": "2026-01-02", "set": ["a", "b"], "nested": [{"x": [1, 2]}]}


class Careless(Store):
    """Accepts a run that it already has, and loses the scores of attempts."""

    def create_run(self, run: Run) -> None:
        with suppress(AlreadyStored):
            super().create_run(run)

    def attempts(self, run_id: str) -> list[Attempt]:
        return [replace(attempt, scores=()) for attempt in super().attempts(run_id)]


def test_a_store_that_breaks_the_contract_fails_it(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "a.db")) as store:
        store.__class__ = Careless
        contract = StoreContract()
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            contract.test_a_run_is_created_once(store)
        store.add_attempt("run-1", an_attempt(), a_case())
        with pytest.raises(AssertionError):
            contract.test_attempts_are_read_back_unchanged(store)
