"""Parses and checks command line options: lists of loads, objectives, servers, workload names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from agentbench.core.durations import seconds
from agentbench.core.errors import UserError, unknown_name
from agentbench.loadtest.plan import ARRIVALS, LoadPlan
from agentbench.loadtest.target_server import TargetSpec
from agentbench.loadtest.workloads import WORKLOADS, WorkloadKind, WorkloadSpec
from agentbench.stats.outcomes import OBJECTIVES
from agentbench.suite import registry
from agentbench.suite.config import Component, apply_overrides, parse_overrides
from agentbench.suite.validation import validate

Number = TypeVar("Number", int, float)
ROUNDS = 4
"""Turns of each side at each point when there are several."""

EXAMPLES = {
    "random": "random",
    "shared_prefix": "shared_prefix",
    "suite": "suite:suites/bfcl_simple",
    "trace": "trace:latest",
}


def numbers(option: str, text: str | None, kind: type[Number]) -> tuple[Number, ...]:
    """A comma-separated list of positive numbers; empty without the option."""
    if text is None:
        return ()
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or any(not 0 < each < float("inf") for each in found):
        example = "1,8,32" if kind is int else "0.5,1,2"
        raise UserError(f"{option} {text!r}: expected positive numbers separated by commas, for example {example}")
    return found


def objectives(pairs: Iterable[str]) -> dict[str, float]:
    """`["ttft=500ms", …]` as metric to limit in seconds."""
    limits: dict[str, float] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise UserError(f"--objective {pair!r}: expected NAME=DURATION, for example ttft=500ms")
        if name not in OBJECTIVES:
            raise unknown_name("objective", name, OBJECTIVES)
        try:
            limits[name] = seconds(text)
        except ValueError as error:
            raise UserError(f"--objective {pair!r}: {error}") from None
    return limits


def vocabulary(text: str) -> tuple[int, int]:
    """`1000:30000` as the half-open range of token ids for prompts."""
    low, _, high = text.partition(":")
    if not (low.isdigit() and high.isdigit() and int(low) < int(high)):
        raise UserError(f"--vocab {text!r}: expected LOW:HIGH with LOW below HIGH, for example 1000:30000")
    return int(low), int(high)


def json_object(option: str, text: str | None) -> Mapping[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"{option} {text!r}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f'{option} {text!r}: expected a JSON object, for example {{"top_k": 40}}')
    return found


def workload(text: str) -> tuple[WorkloadKind, str]:
    """The kind of workload and, after a colon, its suite or run."""
    kind, _, what = text.partition(":")
    found = next((each for each in WORKLOADS if each == kind), None)
    if found is None:
        raise unknown_name("workload", text, EXAMPLES.values())
    if (":" in EXAMPLES[found]) != bool(what):
        raise UserError(f"--workload {text!r}: expected {EXAMPLES[found]}")
    return found, what


def side(name: str, server: str, model: str | None, settings: Iterable[str]) -> TargetSpec:
    """A server by URL or by registered name, with its settings; a mistake shows before any server starts."""
    url = server.startswith(("http://", "https://"))
    chosen = {"name": "url", "base_url": server} if url else {"name": server}
    overrides = parse_overrides(settings)
    wrong = next((path for path in overrides if not path.startswith("serving.")), None)
    if wrong is not None:
        raise UserError(f"--set {wrong}: a benchmark has no such setting; only serving.* is set here")
    if model is not None:
        overrides = {**overrides, "serving.model": model}
    component = Component.model_validate(apply_overrides({"serving": chosen}, overrides)["serving"])
    found = registry.resolve("servers", component.name, "--server")
    validate(found.Config, component.options, lambda location: "--set", ("serving",))
    return TargetSpec(name=name, server=component)


def side_names(first: str | None, others: Sequence[str], count: int) -> list[str]:
    """A name for each side: the given names, then A, B, C …"""
    if len(others) > count - 1:
        raise UserError(f"--vs-name {others[-1]!r}: there are {count - 1} --vs for {len(others)} names")
    all_names = [first, *others, *[None] * (count - 1 - len(others))]
    names = [name or (chr(ord("A") + index) if count > 1 else "server") for index, name in enumerate(all_names)]
    if len(set(names)) < len(names):
        raise UserError(f"two sides have the same name: {', '.join(names)}; tell them apart with --name and --vs-name")
    return names


def plan(
    *,
    name: str,
    sides: tuple[TargetSpec, ...],
    workload: WorkloadSpec,
    concurrencies: tuple[int, ...],
    rates: tuple[float, ...],
    arrivals: str,
    burstiness: float,
    requests: int,
    duration: str | None,
    warmup: int,
    seed: int,
    rounds: int | None,
    sweep: bool,
    limits: Mapping[str, float],
    timeout: str,
    extra_body: Mapping[str, Any],
) -> LoadPlan:
    """The plan, after checks that the options fit together."""
    if concurrencies and rates:
        raise UserError("--concurrency is a closed loop and --rate an open one; give one of them")
    if arrivals not in ARRIVALS:
        raise unknown_name("--arrivals", arrivals, ARRIVALS)
    if not 0 < burstiness < float("inf"):
        raise UserError(f"--burstiness {burstiness}: expected a number above 0; 1 is Poisson")
    if burstiness != 1 and arrivals != "gamma":
        raise UserError("--burstiness is the shape of --arrivals gamma; give both")
    if not concurrencies and not rates and (workload.kind != "trace" or sweep):
        concurrencies = (1,)
    return LoadPlan(
        name=name,
        sides=sides,
        concurrencies=concurrencies,
        rates=rates,
        arrivals=arrivals,
        burstiness=burstiness,
        requests=requests,
        duration_s=_duration("--duration", duration) if duration else 0.0,
        warmup=warmup,
        seed=seed,
        rounds=rounds or (ROUNDS if len(sides) > 1 else 1),
        sweep=sweep,
        limits=limits,
        vocab=workload.vocab,
        timeout_s=_duration("--timeout", timeout),
        extra_body=extra_body,
    )


def _duration(option: str, text: str) -> float:
    try:
        found = seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UserError(f"{option} {text!r}: {error}") from None
    if found <= 0:
        raise UserError(f"{option} {text!r}: expected more than 0")
    return found
