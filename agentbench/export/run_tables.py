"""A stored run as tables."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from agentbench.export.tables import label_row, rows_of
from agentbench.export.target import whole
from agentbench.export.writers import Format, TableFiles
from agentbench.run import Run
from agentbench.store import Store


def export_tables(store: Store, run: Run, form: Format, directory: Path, *, force: bool = False) -> Mapping[str, int]:
    """Writes the run's tables to `directory`, and gives how many rows each has.

    An attempt that a person was to judge has the verdict that its labels give.
    """
    with whole(directory, force=force) as made:
        made.mkdir()
        with closing(TableFiles(made, form)) as files:
            for attempt, _ in store.whole_attempts(run.id):
                for table, row in rows_of(run.id, attempt):
                    files.write(table, row)
            for label in store.labels(run.id):
                files.write("labels", label_row(run.id, label))
    return files.counts
