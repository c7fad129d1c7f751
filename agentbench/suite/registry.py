"""Finds an implementation by its name in a suite or configuration.

Names come from entry points, so that any installed package can add an agent, a backend, a server, a dataset, a scorer,
a source of tools or a simulated user.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from agentbench.core.errors import UserError, unknown_name
from agentbench.references import located
from agentbench.suite.config import Component
from agentbench.suite.validation import Location, validate

Kind = Literal["agents", "backends", "servers", "datasets", "scorers", "tools", "users"]

OURS = __name__.partition(".")[0]


@cache
def _registered(kind: Kind) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"agentbench.{kind}")}


def names(kind: Kind) -> list[str]:
    """The registered names of a kind, sorted."""
    return sorted(_registered(kind))


def resolve(kind: Kind, name: str, place: str = "") -> Any:
    """The class registered under `name`; `UserError` with the nearest names when there is none."""
    found = _registered(kind).get(name)
    if found is None:
        error = unknown_name(kind.removesuffix("s"), name, _registered(kind))
        raise UserError(f"{place}: {error}" if place else str(error))
    what = f"{kind.removesuffix('s')} {name!r} ({found.value}) can't be imported"
    try:
        return found.load()
    except ImportError as error:
        raise UserError(f"{what}: {error}. Is its extra installed?") from None
    except KeyboardInterrupt:
        raise
    # Another package's module may raise anything.
    except BaseException as error:
        raise UserError(f"{what}: {located(error)}") from None


def build(
    kind: Kind,
    component: Component,
    *parts: Any,
    where: Callable[[Location], str] = lambda location: "configuration",
    prefix: Location = (),
) -> Any:
    """An instance of `component` with validated options: `cls(config, *parts)`."""
    implementation = resolve(kind, component.name, where((*prefix, "name")))
    config = validate(implementation.Config, component.options, where, prefix)
    if implementation.__module__.partition(".")[0] == OURS:
        return implementation(config, *parts)
    try:
        return implementation(config, *parts)
    except (UserError, KeyboardInterrupt):
        raise
    # Another package's class may raise anything.
    except BaseException as error:
        raise UserError(f"{kind.removesuffix('s')} {component.name!r} can't be made: {located(error)}") from None
