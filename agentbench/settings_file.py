"""A file of settings: what `--set` takes one by one, as YAML."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentbench.config import SECTIONS
from agentbench.document import Document, read_yaml
from agentbench.errors import UserError


def read_settings(path: Path) -> dict[str, Any]:
    """Dotted path to value, from dotted paths (`agent.output: free`) and sections (`agent: {output: free}`) alike.

    `UserError` names file and line of a key that is neither.
    """
    document = read_yaml(path)
    settings: dict[str, Any] = {}
    for key, value in document.data.items():
        settings.update(_settings(str(key), value, document))
    return settings


def _settings(key: str, value: Any, document: Document) -> Iterator[tuple[str, Any]]:
    if key.split(".")[0] not in SECTIONS:
        raise UserError(
            f"{document.where((key,))}: unknown key {key!r}. Valid: {', '.join(SECTIONS)}, or a path under them"
            " such as agent.output"
        )
    if "." in key or not isinstance(value, Mapping):
        yield key, value
        return
    # A name first: it drops the options of the implementation it replaces.
    for name in sorted(value, key=lambda name: name not in ("name", "server")):
        yield f"{key}.{name}", value[name]
