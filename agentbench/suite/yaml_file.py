"""YAML files with the line of every key, for messages that point at it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentbench.core.errors import UserError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed YAML mapping, its file, and the line (from 1) of each key path in it."""

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    def where(self, key: KeyPath) -> str:
        """`file:line` of the deepest part of `key` that the file has."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                return f"{self.path}:{self.lines[key[:length]]}"
        return str(self.path)


def read_yaml(path: Path) -> Document:
    """Read a YAML file that holds a mapping; `UserError` names file and line of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or node is None:
        raise UserError(f"{path}:1: expected a mapping of keys to values, found {type(data).__name__}")
    lines: dict[KeyPath, int] = {}
    _collect_lines(path, node, (), lines)
    return Document(path=path, data=data, lines=lines)


def _collect_lines(path: Path, node: yaml.Node, prefix: KeyPath, lines: dict[KeyPath, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = (*prefix, str(key_node.value))
            line = key_node.start_mark.line + 1
            if key in lines:
                raise UserError(f"{path}:{line}: key {key[-1]!r} is set twice; the first is on line {lines[key]}")
            lines[key] = line
            _collect_lines(path, value_node, key, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*prefix, index)] = item.start_mark.line + 1
            _collect_lines(path, item, (*prefix, index), lines)
