"""What an example needs to be an agent of agentbench's `command` kind (pooled): a loop over lines of JSON."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The tools of the suite that the examples run on.
sys.path.insert(0, str(Path(__file__).parents[2] / "suites" / "arithmetic"))

Task = dict[str, Any]


def serve(answer: Callable[[Task], str]) -> None:
    """Answer each task; `task` has `case`, `base_url`, `api_key` and `model`."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is no reply
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        try:
            reply = {"id": task["id"], "output": str(answer(task))}
        except Exception as error:
            reply = {"id": task["id"], "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def question(task: Task) -> str:
    return str(task["case"]["messages"][-1]["content"])
