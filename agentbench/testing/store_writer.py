"""A process that stores attempts and prints the case id of each after its commit."""

import sys
from contextlib import suppress

from agentbench.store import AlreadyStored, open_store
from agentbench.testing.store_samples import a_case, a_run, an_attempt


def main(url: str, run_id: str, worker: str, count: str) -> None:
    with open_store(url) as store:
        with suppress(AlreadyStored):
            store.create_run(a_run(run_id))
        for number in range(int(count)):
            case_id = f"{worker}-{number}"
            # Every writer stores the same case, and only one of them can insert it.
            store.add_attempt(run_id, an_attempt(case_id), a_case("shared"))
            print(case_id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
