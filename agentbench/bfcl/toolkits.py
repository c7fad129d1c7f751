"""The toolkits of the multi-turn categories: the package's own classes, imported from the wheel without installing it.

For a process that is there for nothing else: the import path is changed, and what a model wrote reaches these classes.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from agentbench.bfcl.archive import DOCUMENTS

MODULES = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"


class Toolkits:
    """Fresh instances of some of the classes, set up by a row's initial_config."""

    def __init__(self, wheel: Path, classes: Sequence[str], initial: Mapping[str, Any]) -> None:
        if str(wheel) not in sys.path:
            sys.path.insert(0, str(wheel))
        self._instances = {name: _instance(name, initial.get(name, {})) for name in classes}
        self._methods: dict[str, Callable[..., Any]] = {
            name: method for instance in self._instances.values() for name, method in _public_methods(instance)
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as the leaderboard words it; what a method raises is a result too."""
        try:
            result = self._methods[name](**deepcopy(dict(arguments)))  # some keep their arguments and change them later
        # A method may raise anything for what a model gave it; the leaderboard tells the model.
        except Exception as error:
            return f"Error during execution: {error}"
        return _text(result)

    def named(self, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by their parameters' names."""
        return dict(inspect.signature(self._methods[name]).bind(*positional, **keywords).arguments)

    def state(self) -> dict[str, Any]:
        """Each class's public attributes as JSON, equal where the attributes are."""
        return {
            name: {key: _json(value) for key, value in vars(instance).items() if not key.startswith("_")}
            for name, instance in self._instances.items()
        }


def _instance(name: str, initial: Mapping[str, Any]) -> Any:
    instance = getattr(importlib.import_module(f"{MODULES}.{DOCUMENTS[name]}"), name)()
    if hasattr(instance, "_load_scenario"):
        instance._load_scenario(deepcopy(dict(initial)))
    return instance


def _public_methods(instance: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    return ((name, each) for name, each in inspect.getmembers(instance, inspect.ismethod) if not name.startswith("_"))


def _text(result: Any) -> str:
    if not isinstance(result, dict):
        return str(result)
    try:
        return json.dumps(result)
    except (TypeError, ValueError):
        return str(result)


def _json(value: Any) -> Any:
    """A value as JSON that keeps apart what `==` does: the number 5 as a key is not the text."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else f"{key!r} ({type(key).__name__})": _json(v) for key, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, set):
        return {"set": sorted(map(repr, value))}
    if value is None or isinstance(value, str | int | float):
        return value
    # The file system's nodes: a directory has contents, a file has content; the way back to the parent is left out.
    return {key: _json(part) for key, part in vars(value).items() if key in ("name", "content", "contents")}
