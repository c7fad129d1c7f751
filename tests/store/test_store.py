"""The store's contract on SQLite and PostgreSQL, and that any attempt round-trips."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbench.case import Case
from agentbench.score import Attempt, Score
from agentbench.store import Store, open_store
from agentbench.trace import Failure, ModelCall, ToolCall, Trace
from tests.contracts.store_contract import StoreContract
from tests.store.samples import a_run, an_attempt

# Any Python string: U+0000, lone surrogates and the store's own escape among them.
text = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\x00\ufdd0")))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(text, json_values, max_size=3)
messages = st.lists(json_objects, max_size=2).map(tuple)
nanoseconds = st.integers(-(2**62), 2**62)
tokens = st.none() | st.integers(0, 10**12)

model_calls = st.builds(
    ModelCall,
    messages=messages,
    request=json_objects,
    reply=json_objects,
    finish_reason=st.none() | text,
    intended_at=nanoseconds,
    sent_at=nanoseconds,
    ended_at=nanoseconds,
    chunk_at=st.lists(nanoseconds, max_size=3).map(tuple),
    chunk_tokens=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    prompt_tokens=tokens,
    cached_tokens=tokens,
    completion_tokens=tokens,
    error=st.none() | text,
)
tool_calls = st.builds(
    ToolCall,
    call_id=text,
    name=text,
    arguments=json_objects,
    started_at=nanoseconds,
    ended_at=nanoseconds,
    executed=st.booleans(),
    result=st.none() | text,
    error=st.none() | text,
)
failures = st.builds(Failure, kind=st.sampled_from(["infra", "budget"]), message=text, detail=text)
attempts = st.builds(
    Attempt,
    case_id=text,
    cluster=text,
    repeat=st.integers(0, 9),
    seed=st.integers(0, 2**63 - 1),
    tries=st.integers(1, 5),
    started_at=nanoseconds,
    ended_at=nanoseconds,
    wall_anchor_ns=nanoseconds,
    trace=st.builds(Trace, steps=st.lists(model_calls | tool_calls, max_size=4).map(tuple), output=text),
    failure=st.none() | failures,
    scores=st.lists(
        st.builds(Score, name=text, value=st.floats(0, 1), passed=st.booleans(), reason=text), max_size=2
    ).map(tuple),
    passed=st.none() | st.booleans(),
)
round_trips = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def numbers() -> Iterator[int]:
    """Each example of a property is a run of its own."""
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


def test_what_json_has_no_form_for_is_stored_as_its_nearest(tmp_path: Path) -> None:
    from datetime import date

    values = {"day": date(2026, 1, 2), "set": {"b", "a"}, "nested": ({"x": (1, 2)},)}
    with open_store(str(tmp_path / "a.db")) as store:
        store.create_run(a_run())
        store.add_attempt("run-1", an_attempt(), Case(id="paris", messages=(), metadata=values))
        stored = store.case("run-1", "paris").metadata
    assert stored == {"day": "2026-01-02", "set": ["a", "b"], "nested": [{"x": [1, 2]}]}
