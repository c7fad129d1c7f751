"""What the ground truth of multi-turn rows leads to: the results of its calls and the toolkits' state after each turn.

The calls are parsed, never evaluated, and run in a process of their own: `python -m agentbench.bfcl.truth WHEEL`, the
questions on standard input and the answers on standard output, both JSON.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentbench.bfcl.archive import Row
from agentbench.bfcl.toolkits import Toolkits
from agentbench.environment import with_variables
from agentbench.errors import UserError
from agentbench.extras import install_hint


def truths(wheel: Path, rows: Sequence[Row], answers: Sequence[Sequence[Sequence[str]]]) -> list[list[dict[str, Any]]]:
    """For each row, for each of its turns: `calls` (name, arguments by name), their `results`, and the `state`."""
    questions = [
        {"classes": row["involved_classes"], "initial": row["initial_config"], "turns": [_parsed(t) for t in turns]}
        for row, turns in zip(rows, answers, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "agentbench.bfcl.truth", str(wheel)],
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
"""Of a process with toolkits: the trading toolkit writes down local times."""


def parsed_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """A call written in Python, its arguments literals: name, positional and keyword arguments."""
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
