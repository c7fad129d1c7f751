"""Eight processes write 20,000 attempts each into one database concurrently, on SQLite and on PostgreSQL.

PYTHONPATH=. python results/benchmarks/2026-11-23-store/measure.py [PROCESSES ATTEMPTS]

Writes figures.json and README.md next to it. PostgreSQL is a private cluster on a local socket
(tests/store/cluster.py).
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentbench.run.provenance import provenance
from agentbench.store import AlreadyStored, open_store
from agentbench.testing.store_samples import a_case, a_run, an_attempt
from tests.store.cluster import postgresql, server_binaries

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BATCHES = (1, 16)
"""Attempts per transaction: 1 if attempts end one by one, more if they end within a few milliseconds of each other."""
README = """# Many processes write to one store

`PYTHONPATH=. python results/benchmarks/2026-11-23-store/measure.py`; {machine}. {processes} processes
write {attempts:,} attempts each into one run of one database concurrently. An attempt has two model calls, a tool call
and a score. Two processes write every tenth attempt: it must be stored once.

| database | attempts per transaction | stored | expected | attempts/s | size |
|---|---:|---:|---:|---:|---:|
{rows}

`stored` is counted in the database afterwards: the attempts that have all their steps. The number of keys is the same.
"""


def write(url: str, worker: int, attempts: int, batch: int) -> None:
    """The work of one writer process."""
    with open_store(url) as store:
        for start in range(0, attempts, batch):
            numbers = range(start, min(start + batch, attempts))
            names = [f"shared-{worker // 2}-{n}" if n % 10 == 0 else f"{worker}-{n}" for n in numbers]
            store.add_attempts("run-1", [(an_attempt(name), a_case("shared")) for name in names])


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=ROOT / "results") as folder:
        yield f"{folder}/store.db"


@contextmanager
def cluster() -> Iterator[str]:
    binaries = server_binaries()
    if binaries is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, postgresql(binaries, Path(folder)) as url:
        yield url


def measured(name: str, url: str, processes: int, attempts: int, batch: int) -> dict[str, Any]:
    with open_store(url) as store:
        try:
            store.create_run(a_run())
        except AlreadyStored:
            sys.exit(f"{url} is not empty")
    began = time.perf_counter()
    command = [sys.executable, __file__, "--write", url]
    writers = [
        subprocess.Popen([*command, str(worker), str(attempts), str(batch)], cwd=ROOT) for worker in range(processes)
    ]
    codes = [writer.wait() for writer in writers]
    seconds = time.perf_counter() - began
    with open_store(url) as store:
        keys = store.stored_keys("run-1")
        complete = sum(len(attempt.trace.steps) == 3 for attempt in store.measured_attempts("run-1"))
    own = sum(n % 10 != 0 for n in range(attempts))
    expected = processes * own + (processes + 1) // 2 * (attempts - own)
    path = Path(url)
    return {
        "database": name,
        "batch": batch,
        "exit_codes": codes,
        "keys": len(keys),
        "whole": complete,
        "expected": expected,
        "seconds": round(seconds, 1),
        "attempts_per_s": round(expected / seconds),
        "megabytes": round(path.stat().st_size / 1e6) if path.is_file() else None,
    }


def main(processes: int, attempts: int) -> None:
    rows = []
    for batch in BATCHES:
        for name, opened in (("SQLite", sqlite), ("PostgreSQL", cluster)):
            with opened() as url:
                rows.append(measured(name, url, processes, attempts, batch))
            print(json.dumps(rows[-1]), flush=True)
    facts = provenance(ROOT)
    (HERE / "figures.json").write_text(
        json.dumps({"environment": facts, "measured": rows}, indent=1, default=str) + "\n"
    )
    table = "\n".join(
        f"| {row['database']} | {row['batch']} | {row['whole']:,} | {row['expected']:,} | {row['attempts_per_s']:,} |"
        f" {row['megabytes'] or '–'} MB |"
        for row in rows
    )
    machine = f"{facts['cpus']} cores of {facts['cpu']}"
    (HERE / "README.md").write_text(README.format(machine=machine, processes=processes, attempts=attempts, rows=table))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(*(map(int, sys.argv[1:]) if sys.argv[1:] else (8, 20_000)))
