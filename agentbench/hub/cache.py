"""The cache of pulled artifacts: `<cache>/<name>/<filename>`, present only when complete and verified."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agentbench.core.errors import UserError, did_you_mean, unknown_name
from agentbench.environment import cache_dir
from agentbench.hub.catalog import CATALOG, Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A known artifact and its size in the cache; `bytes` is 0 when it is not there."""

    name: str
    kind: str
    path: Path
    pulled: bool
    bytes: int


def artifact_path(artifact: Artifact) -> Path:
    """The artifact's path in the cache. It contains the hash, so that a new pin is a new file."""
    return cache_dir() / artifact.name / artifact.sha256[:12] / artifact.filename


def cached() -> list[Cached]:
    """Every known artifact, by name."""
    return [_state(artifact) for _, artifact in sorted(CATALOG.items())]


def _state(artifact: Artifact) -> Cached:
    path = artifact_path(artifact)
    size = path.stat().st_size if path.is_file() else 0
    return Cached(name=artifact.name, kind=artifact.kind, path=path, pulled=path.is_file(), bytes=size)


def resolve_model(model: str) -> Path:
    """The path of a model given as a known name, `hf:owner/name`, a .gguf file or a directory.

    `UserError` says which pull command to run when it is known and not pulled.
    """
    artifact = CATALOG.get(model)
    if artifact is not None and artifact.kind == "model":
        return _pulled(artifact)
    if model.startswith("hf:"):
        from agentbench.hub.sources import snapshot_path

        return snapshot_path(model)
    return _local(model) or _unknown(model)


def served_name(model: str) -> str:
    """The name for clients of a model of `resolve_model`: the known name, a file's stem, or a directory's name."""
    path = None if CATALOG.get(model) or model.startswith("hf:") else _local(model)
    if path is None:
        return model
    return path.name if path.is_dir() else path.stem


def _local(model: str) -> Path | None:
    """The file or directory of that path, or None."""
    try:
        path = Path(model).expanduser()
        return path.resolve() if model and (path.is_dir() or path.is_file()) else None
    except (OSError, RuntimeError):  # a name too long for the file system, or no home directory
        return None


def _unknown(model: str) -> NoReturn:
    names = sorted(each.name for each in CATALOG.values() if each.kind == "model")
    hint = did_you_mean(model, names, most=1, cutoff=0.6)
    raise UserError(
        f"model {model!r} is neither a known name ({', '.join(names)}), nor hf:owner/name,"
        f" nor a file or directory here.{hint}"
    )


def dataset_path(name: str) -> Path:
    """The path of a pulled data set; `UserError` says which pull command to run when it is not here."""
    artifact = CATALOG.get(name)
    if artifact is None or artifact.kind != "dataset":
        raise unknown_name("data set", name, (each.name for each in CATALOG.values() if each.kind == "dataset"))
    return _pulled(artifact)


def _pulled(artifact: Artifact) -> Path:
    path = artifact_path(artifact)
    if not path.is_file():
        raise UserError(f"{artifact.kind} {artifact.name!r} is not pulled; run: agentbench pull {artifact.name}")
    return path
