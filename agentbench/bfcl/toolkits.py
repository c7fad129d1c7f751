"""The toolkits of the multi-turn categories: the package's own classes, imported from the wheel without installing it.

Use it only in a process of its own: it changes the import path, and passes a model's arguments to these classes.

As a program (`python -m agentbench.bfcl.toolkits WHEEL`) it computes the ground truth of multi-turn rows: the results
of its calls and the toolkits' state after each turn. Requests come on standard input and answers go to standard output,
both as JSON. The calls are parsed, never evaluated.
"""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from agentbench.bfcl.archive import DOCUMENTS, Row
from agentbench.core.errors import UserError
from agentbench.environment import with_variables
from agentbench.extras import install_hint

MODULES = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"


class Toolkits:
    """Fresh instances of the given classes, initialized from a row's initial_config."""

    def __init__(self, wheel: Path, classes: Sequence[str], initial: Mapping[str, Any]) -> None:
        if str(wheel) not in sys.path:
            sys.path.insert(0, str(wheel))
        self._instances = {name: _instance(name, initial.get(name, {})) for name in classes}
        self._methods: dict[str, Callable[..., Any]] = {
            name: method for instance in self._instances.values() for name, method in _public_methods(instance)
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result in the leaderboard's wording; an exception of the method is a result too."""
        try:
            result = self._methods[name](
                **deepcopy(dict(arguments))
            )  # some methods store their arguments and change them later
        # A method may raise anything for a model's arguments; the leaderboard shows the error to the model.
        except Exception as error:
            return f"Error during execution: {error}"
        return _text(result)

    def named(self, name: str, positional: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """A call's arguments by parameter name."""
        return dict(inspect.signature(self._methods[name]).bind(*positional, **keywords).arguments)

    def state(self) -> dict[str, Any]:
        """Each class's public attributes as JSON; equal attributes give equal JSON."""
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
    """A value as JSON that distinguishes all unequal values: the key 5 is not the key "5"."""
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
    # Nodes of the file system: a directory has contents, a file has content; the link to the parent is left out.
    return {key: _json(part) for key, part in vars(value).items() if key in ("name", "content", "contents")}


def truths(wheel: Path, rows: Sequence[Row], answers: Sequence[Sequence[Sequence[str]]]) -> list[list[dict[str, Any]]]:
    """For each row, for each of its turns: `calls` (name, arguments by name), their `results`, and the `state`."""
    questions = [
        {"classes": row["involved_classes"], "initial": row["initial_config"], "turns": [_parsed(t) for t in turns]}
        for row, turns in zip(rows, answers, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "agentbench.bfcl.toolkits", str(wheel)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        env=with_variables(**ENVIRONMENT),
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        advice = f" Install it: {install_hint('bfcl')}" if "mpmath" in last else ""
        raise UserError(f"the toolkits of {wheel.name} can't be run: {last}.{advice}")
    found: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return found


ENVIRONMENT = {"TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
"""Environment of a process with toolkits: the trading toolkit records local times."""


def parsed_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """A call written in Python with literal arguments: name, positional and keyword arguments."""
    tree = ast.parse(text, mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError(f"not a call of a function: {text!r}")
    keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    return tree.func.id, [ast.literal_eval(argument) for argument in tree.args], keywords


def _parsed(turn: Sequence[str]) -> list[tuple[str, list[Any], dict[str, Any]]]:
    return [parsed_call(text) for text in turn]


def _answer(wheel: Path, question: Mapping[str, Any]) -> list[dict[str, Any]]:
    toolkits = Toolkits(wheel, question["classes"], question["initial"])
    turns = []
    for turn in question["turns"]:
        calls = [{"name": name, "arguments": toolkits.named(name, args, keywords)} for name, args, keywords in turn]
        results = [toolkits.call(call["name"], call["arguments"]) for call in calls]
        turns.append({"calls": calls, "results": results, "state": toolkits.state()})
    return turns


if __name__ == "__main__":
    json.dump([_answer(Path(sys.argv[1]), question) for question in json.load(sys.stdin)], sys.stdout)
