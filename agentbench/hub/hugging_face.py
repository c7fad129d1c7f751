"""Models from a Hugging Face hub, where one is reachable: `hf:owner/name`."""

from pathlib import Path
from typing import Any

from agentbench.environment import cache_dir
from agentbench.errors import UserError

WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]


def pull_snapshot(reference: str) -> Path:
    """Fetch the repository's weights and tokenizer; complete files only, by the hub's own client."""
    return _snapshot(reference, offline=False)


def snapshot_path(reference: str) -> Path:
    """Where a pulled repository is; `UserError` when it is not here."""
    return _snapshot(reference, offline=True)


def _snapshot(reference: str, *, offline: bool) -> Path:
    repository = reference.removeprefix("hf:")
    owner, _, name = repository.partition("/")
    if not owner or not name:
        raise UserError(f"{reference!r}: expected hf:owner/name")
    try:
        hub: Any = __import__("huggingface_hub")
    except ImportError:
        raise UserError(f"{reference!r} needs the hub's client: pip install huggingface_hub") from None
    folder = cache_dir() / "hugging_face"
    try:
        found = hub.snapshot_download(repository, cache_dir=folder, allow_patterns=WANTED, local_files_only=offline)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        todo = f"run: agentbench pull {reference}" if offline else "Is a hub reachable from here?"
        raise UserError(f"{reference!r} is not here: {str(error).splitlines()[0]} {todo}") from None
    return Path(found)
