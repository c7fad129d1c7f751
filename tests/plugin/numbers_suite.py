"""A suite of 24 cases in mode `gate`, on a scripted backend."""

import json
from pathlib import Path

SUITE = """\
name: numbers
mode: gate
dataset: {name: jsonl}
scorers: [exact]
agent: chat
backend: {name: scripted, replies: REPLIES, default: "no"}
run: {max_tries: 1}
"""
CASES = 24


def write(folder: Path, right: int, extra: str = "") -> None:
    """A suite of 24 cases of which the first `right` are answered rightly."""
    rules = [{"when": f"^{number:02}$", "content": f"{number:02}"} for number in range(right)]
    (folder / "suite.yaml").write_text(SUITE.replace("REPLIES", json.dumps(rules)) + extra)
    lines = [{"id": f"n{n:02}", "input": f"{n:02}", "expected": f"{n:02}"} for n in range(CASES)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))
