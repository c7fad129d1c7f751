"""Models that `agentbench pull` has put into the cache, by their names."""

from pathlib import Path

from serving.config import ServingConfig
from serving.environment import cache_directory
from serving.options import UsageError


def with_model_found(config: ServingConfig) -> ServingConfig:
    """`config.model` as a path that is there; a pulled model's name is what clients call it, unless they are told
    otherwise. `UsageError` names the pulled ones."""
    if config.model.exists():
        return config
    found = pulled_models()
    name = str(config.model)
    if name not in found:
        known = ", ".join(sorted(found)) or "none yet: agentbench pull smollm2-135m-instruct"
        raise UsageError(
            f"there is no model at {name}: --model is a .gguf file, a directory, or a pulled model's name ({known})"
        )
    return config.model_copy(update={"model": found[name], "served_model_name": config.served_model_name or name})


def pulled_models() -> dict[str, Path]:
    """Name to file. What is there is complete and verified: `<cache>/<name>/<hash>/<file>.gguf`."""
    files = sorted(cache_directory().glob("*/*/*.gguf"), key=lambda file: file.stat().st_mtime)
    return {file.parent.parent.name: file for file in files}
