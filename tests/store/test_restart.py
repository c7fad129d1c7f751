"""A PostgreSQL server that is stopped in the middle of a run and started again: the run goes on, nothing is lost."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from agentbench.run.experiment import perform, plan
from agentbench.store import open_store
from agentbench.suite.suite import load_suite
from tests.store.cluster import Cluster

pytestmark = pytest.mark.postgres

SUITE = """\
name: long
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, default: "yes", first_token_s: 0.01}
run: {concurrency: 4}
"""
CASES = 300


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text(SUITE)
    lines = [f'{{"id": "c{number:03}", "input": "{number}?", "expected": "yes"}}' for number in range(CASES)]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    return tmp_path


async def test_a_run_outlives_its_database(suite: Path, own_cluster: Cluster) -> None:
    seen = []
    with open_store(own_cluster.url) as store:
        experiment = plan(load_suite(suite), store)
        async with aclosing(perform(experiment, store)) as attempts:
            async for attempt in attempts:
                seen.append((attempt.case_id, attempt.repeat))
                if len(seen) in (40, 160):
                    await asyncio.to_thread(own_cluster.restart)
        assert len(seen) == len(set(seen)) == CASES
        assert store.stored_keys(experiment.run.id) == set(seen)
        assert len(store.attempts(experiment.run.id)) == CASES
