"""`python -m serving.engine.parallel.worker FD`: the process of a rank other than 0. `Workers` starts it."""

import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from serving.core import ModelLoadError
from serving.engine.loading import load_model, threads_per_process
from serving.engine.parallel.processes import Assignment, LoadResult
from serving.engine.parallel.runner import decode_step
from serving.engine.runner import ModelRunner
from serving.lifeline import end_with_parent
from serving.model.parallel.group import Group


def main(descriptor: int) -> None:
    end_with_parent()
    # A stop signal to the process group reaches all ranks. Rank 0 handles it: running requests end first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    channel = Connection(descriptor)
    assignment = Assignment.model_validate_json(channel.recv_bytes())
    group = Group(rank=assignment.rank, size=assignment.config.tensor_parallel_size)
    with torch.inference_mode():
        runner = _load(assignment, group, channel)
        if runner is not None:
            _compute(runner, group, channel, assignment.store)


def _load(assignment: Assignment, group: Group, channel: Connection) -> ModelRunner | None:
    torch.set_num_threads(threads_per_process(assignment.config))
    try:
        loaded = load_model(assignment.model, assignment.config, group)
    except ModelLoadError as error:
        channel.send_bytes(LoadResult(error=str(error)).model_dump_json().encode())
        return None
    channel.send_bytes(LoadResult(facts=dict(loaded.facts)).model_dump_json().encode())
    assert isinstance(loaded.runner, ModelRunner)
    return loaded.runner


def _compute(runner: ModelRunner, group: Group, channel: Connection, store: Path) -> None:
    """Compute every step that rank 0 sends, until it closes the channel."""
    group.connect(store, runner.device)
    runner.warm_up()
    while message := _receive(channel):
        runner.compute(*decode_step(message))
    group.disconnect()


def _receive(channel: Connection) -> bytes:
    try:
        return channel.recv_bytes()
    except EOFError:
        return b""


if __name__ == "__main__":
    main(int(sys.argv[1]))
