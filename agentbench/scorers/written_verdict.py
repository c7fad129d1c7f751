"""A judge's verdict out of what it wrote: a JSON object, which thoughts, a fence or a few words may stand around."""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentbench.thoughts import answer_in

Answer = TypeVar("Answer", bound=BaseModel)


def read_verdict(text: str, form: type[Answer]) -> Answer:
    """The one verdict in `text`, keys beside its own left out; `ValueError` says why there is none.

    Objects that are no verdict are passed over. Verdicts that differ are none: one of them may be quoted.
    """
    found: list[Answer] = []
    mistake = "there is no JSON object"
    for each in _objects(answer_in(text)):
        try:
            own = {key: each[key] for key in form.model_fields if key in each}
            found.append(form.model_validate_json(json.dumps(own), strict=True))
        except ValidationError as error:
            mistake = _first_mistake(error)
    if not found:
        raise ValueError(mistake)
    if len({_decided(each) for each in found}) > 1:
        raise ValueError("there are several verdicts, and they differ")
    return found[-1]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text` that are in no other, in order."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at != -1:
        try:
            value, end = decoder.raw_decode(text, at)
        # ValueError is also what an integer of more than 4300 digits raises.
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _decided(verdict: BaseModel) -> str:
    return verdict.model_dump_json(exclude={"reason"})


def _first_mistake(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    path = ".".join(map(str, found["loc"]))
    return f"{path}: {found['msg']}" if path else found["msg"]
