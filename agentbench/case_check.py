"""What every case has to be, whatever data set it is from: told when a suite is read, not after a run."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agentbench.case import Case
from agentbench.errors import UserError
from agentbench.scorers.brief import brief

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
GATE = "gate"
"""Name of the item that decides a suite of mode `gate`."""

UNSELECTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, separators of lines and lone surrogates: no command line and no list of ids can hold them."""


def check_case(case: Case, mode: str) -> None:
    """`UserError` for a case that can't be asked, selected by its id, or stored."""
    if mistake := _id_mistake(case.id, mode) or _messages_mistake(case.messages):
        raise UserError(f"case {case.id!r}: {mistake}")
    try:
        json.dumps([case.expected, case.messages, case.metadata, case.user], allow_nan=False)
        json.dumps([asdict(tool) for tool in case.tools], allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"case {case.id!r}: what it holds is not JSON, and can't be stored: {error}") from None


def _id_mistake(case_id: str, mode: str) -> str | None:
    if not case_id.strip():
        return "the id is empty; give each case one by which it can be selected"
    if UNSELECTABLE.search(case_id):
        return "a control character or half of a surrogate pair is in the id; use characters that can be typed"
    if "::" in case_id:
        return "'::' is in the id, where pytest parts a test's name; use another separator, such as '/'"
    if case_id == GATE and mode == "gate":
        return "in mode gate this is the name of the item that decides; give the case another id"
    return None


def _messages_mistake(messages: tuple[Any, ...]) -> str | None:
    if not messages:
        return "it has no message; give a text, or a list of one message or more"
    return next((f"message {n}: {wrong}" for n, each in enumerate(messages, 1) if (wrong := _mistake(each))), None)


def _mistake(message: Any) -> str | None:
    """What is wrong with a message of the case, None when nothing is."""
    if not isinstance(message, Mapping):
        return f"{brief(message)} is no message; expected an object with role and content"
    role = message.get("role")
    if role not in ROLES:
        return f"role = {brief(role)}; valid: {', '.join(ROLES)}"
    if isinstance(message.get("content"), str | list):
        return None
    if role == "assistant" and (message.get("tool_calls") or message.get("function_call")):
        return None
    return f"content = {brief(message.get('content'))}; expected a text, or a list of parts"
