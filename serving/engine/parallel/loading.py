"""A model over several processes, this one the first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from serving.checkpoint.checkpoint import load_checkpoint
from serving.config import EngineConfig
from serving.engine.loading import LoadedModel, load_model
from serving.engine.parallel.processes import Workers
from serving.engine.parallel.runner import ParallelRunner
from serving.engine.runner import ModelRunner
from serving.model.parallel.group import Group
from serving.model.parallel.share import Share

_SUMMED = ("num_parameters", "weight_bytes_per_step", "kv_bytes_per_token")


def load_parallel(path: Path, config: EngineConfig) -> LoadedModel:
    """As `serving.engine.loading.load_model`, while the other ranks, started here, load their parts."""
    group = Group(rank=0, size=config.tensor_parallel_size)
    Share.of(load_checkpoint(path).config, group.rank, group.size)  # what can't be split is refused before all else
    workers = Workers(path, config)
    try:
        own = load_model(path, config, group)
        facts = [own.facts, *workers.loaded()]
        assert isinstance(own.runner, ModelRunner)
        group.connect(workers.store, own.runner.device)
        own.runner.warm_up()
    except BaseException:  # an interrupt too: the other ranks would wait for this one
        workers.kill()
        workers.close()
        raise
    return replace(own, runner=ParallelRunner(own.runner, workers, group), facts=_of_all(facts))


def _of_all(ranks: list[Mapping[str, int]]) -> Mapping[str, int]:
    sums = Counter[str]()
    for facts in ranks:
        sums.update({name: facts[name] for name in _SUMMED})
    return {**ranks[0], **sums}
