"""A run's parts as lines of JSON, and back: the inside of a run file.

Of each dataclass its fields, as they are stored; a step says its kind. Lines of the same run are the same bytes,
whichever database they come from.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter

from agentbench.case import Case
from agentbench.run import Run
from agentbench.score import Attempt, Label
from agentbench.store.columns import to_json
from agentbench.trace import ModelCall, Step, ToolCall, UserTurn

STEPS: Mapping[str, type[Step]] = {"model_call": ModelCall, "tool_call": ToolCall, "user_turn": UserTurn}
KINDS = {step: kind for kind, step in STEPS.items()}

Part = TypeVar("Part", Run, Case, Attempt, Label)


def fields(part: Any) -> dict[str, Any]:
    """The fields of a dataclass, by name."""
    return {name: getattr(part, name) for name in type(part).__dataclass_fields__}


def run_line(run: Run) -> str:
    times = {"created_at": run.created_at.isoformat(), "finished_at": run.finished_at and run.finished_at.isoformat()}
    whole = fields(run) | times
    if run.kind == "suite":
        # Left out, as before there were others, so that a file of an earlier version is still the same run.
        del whole["kind"]
    return to_json(whole)


def case_line(case: Case) -> str:
    return to_json(fields(case) | {"tools": [fields(tool) for tool in case.tools]})


def attempt_line(attempt: Attempt, case: int) -> str:
    """`case` is the number of the case's line among the cases, from 0."""
    steps = [{"kind": KINDS[type(step)], **fields(step)} for step in attempt.trace.steps]
    parts = {
        "trace": fields(attempt.trace) | {"steps": steps},
        "failure": attempt.failure and fields(attempt.failure),
        "scores": [fields(score) for score in attempt.scores],
    }
    return to_json({"case": case, **fields(attempt), **parts})


def label_line(label: Label) -> str:
    return to_json(fields(label) | {"created_at": label.created_at.isoformat()})


def parsed(kind: type[Part], values: Any) -> Part:
    """A run, case or label from its line's values; pydantic's `ValidationError` when they are not one."""
    found: Part = ADAPTERS[kind].validate_python(values)
    return found


def parsed_attempt(values: Mapping[str, Any]) -> Attempt:
    """An attempt from its line's values, which are changed. `KeyError` for a step of an unknown kind."""
    trace = dict(values["trace"])
    steps = tuple(_step(dict(step)) for step in trace.pop("steps"))
    whole = {**values, "trace": {**trace, "steps": steps}}
    whole.pop("case")
    return parsed(Attempt, whole)


def _step(values: dict[str, Any]) -> Step:
    found: Step = STEP_ADAPTERS[values.pop("kind")].validate_python(values)
    return found


STEP_ADAPTERS: Mapping[str, TypeAdapter[Any]] = {kind: TypeAdapter(step) for kind, step in STEPS.items()}
ADAPTERS: Mapping[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Run, Case, Attempt, Label)}
