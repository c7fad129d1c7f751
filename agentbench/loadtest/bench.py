"""Runs a benchmark: starts the servers, measures every point on every side, and stops the servers.

A sweep ends once a server is saturated: the time to first token and the requests in flight both grow.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from statistics import median

from agentbench.loadtest.measurement import Driver, Measurement
from agentbench.loadtest.metrics import found_outstanding, measured
from agentbench.loadtest.plan import LoadPlan, LoadPoint
from agentbench.loadtest.record import Record
from agentbench.loadtest.result import BenchResult, PointResult
from agentbench.loadtest.target_server import Capabilities, TargetServer, opened_target
from agentbench.loadtest.workload import Form, Workload
from agentbench.stats.calls import ttft_from_intent_s

GROWTH = 1.5
"""Both must grow by this factor."""
GAIN = 1.05
"""Doubling the clients must raise the throughput by at least this factor."""
LEAST = 12
"""Fewer requests show no trend."""

MakeWorkload = Callable[[Capabilities], Awaitable[Workload]]
Tell = Callable[[str], None]


async def run_bench(
    plan: LoadPlan, make_workload: MakeWorkload, forms: Sequence[Form], result: BenchResult, tell: Tell
) -> None:
    """Fill in `result`, point by point. At any moment it is complete except for the point in progress."""
    async with AsyncExitStack() as stack:
        sides = []
        for number, wanted in enumerate(plan.sides):
            tell(f"{wanted.name}: starting {wanted.server.name}")
            log_path = plan.log_dir / f"{result.id}-{number}.server.log"
            side = await stack.enter_async_context(opened_target(wanted, log_path, plan.timeout_s, plan.extra_body))
            sides.append(await side.with_capabilities(forms, plan.vocab))
        workload = await make_workload(common_capabilities([side.capabilities for side in sides]))
        result.begin([side.to_json() for side in sides], workload.note)
        async for point in run_points(plan, workload, sides, result, tell):
            result.save()
            tell(point.line())


def common_capabilities(found: Sequence[Capabilities]) -> Capabilities:
    """The capabilities that all sides share, so that all get the same requests."""
    order: list[Form] = ["ids", "text", "chat"]
    form = max((each.form for each in found), key=order.index)
    return Capabilities(form=form, ignore_eos=all(each.ignore_eos for each in found))


async def run_points(
    plan: LoadPlan, workload: Workload, sides: Sequence[TargetServer], result: BenchResult, tell: Tell
) -> AsyncIterator[PointResult]:
    """Runs the points in order, until one is saturated (in a sweep) or no server responds any more."""
    before: PointResult | None = None
    for load in plan.points(workload):
        point = result.add_point(load)
        await run_point(plan, workload, sides, point, tell)
        for name in point.sides:
            point.saturated[name] = saturation(point, before, name)
        yield point
        if point.dead():
            result.stop(f"no request was answered at {load.label}")
            return
        if plan.sweep and all(point.saturated.values()):
            result.stop(f"saturated at {load.label}: {next(iter(point.saturated.values()))}")
            return
        before = point
    result.stop("all loads were run")


async def run_point(
    plan: LoadPlan, workload: Workload, sides: Sequence[TargetServer], point: PointResult, tell: Tell
) -> None:
    """Runs every round, alternating sides: A B A B. In a round, each side gets the same requests."""
    for number in range(plan.rounds):
        for side in sides:
            part = f", round {number + 1} of {plan.rounds}" if plan.rounds > 1 else ""
            tell(f"{point.load.label}: {side.name}{part}")
            measurement = Measurement()
            try:
                await run_measurement(side, workload, point.load.round(number), measurement)
            finally:
                point.add(side.name, measurement)


async def run_measurement(side: TargetServer, workload: Workload, load: LoadPoint, measurement: Measurement) -> None:
    """Warm up, then measure. Both draw from one sequence of sessions, so that no warm-up session is measured again."""
    driver = Driver(side.client, side.encode)
    warm = workload.sessions(f"{load.seed} warm-up")
    await driver.warm_up(measurement, warm, load.warmup, load.concurrency or load.warmup)
    sessions = workload.sessions(load.seed)
    planned = list(islice(sessions, load.requests))
    await driver.measure(measurement, planned, sessions, load)


def saturation(point: PointResult, before: PointResult | None, side: str) -> str:
    """Why the side is saturated at this point; empty when it is not.

    In an open loop, work arrives faster than the server completes it: the requests in flight and the TTFT (from intent)
    grow from the point's second third to its last. A closed loop has more requests in flight than at the previous point
    by design. It is saturated when TTFT grew and throughput did not.
    """
    if not point.load.concurrency:
        return max((_drift(each.records) for each in point.sides[side]), key=len, default="")
    if before is None:
        return ""
    then, now = before.figures(side), point.figures(side)
    keys = ("ttft_p50_s", "output_tokens_per_s", "mean_outstanding")
    if any(not figures[key] for figures in (then, now) for key in keys):
        return ""
    ttft, output, outstanding = (now[key] / then[key] for key in keys)
    if ttft >= GROWTH and outstanding > 1 and output < GAIN:
        return f"TTFT grew × {ttft:.3g} and outstanding requests × {outstanding:.3g}, but output only × {output:.3g}"
    return ""


def _drift(records: Sequence[Record]) -> str:
    wanted = sorted(measured(records), key=lambda record: record.intended_at)
    if len(wanted) < LEAST:
        return ""
    third = len(wanted) // 3
    found = found_outstanding(wanted)
    middle, last = median(found[third : 2 * third]), median(found[2 * third :])
    ttft_middle, ttft_last = _ttft(wanted[third : 2 * third]), _ttft(wanted[2 * third :])
    if ttft_middle is None or ttft_last is None:
        return ""
    if last >= GROWTH * middle + 1 and ttft_last >= GROWTH * ttft_middle:
        return (
            f"outstanding requests rose from {middle:g} to {last:g} and TTFT from {ttft_middle:.3g} s to"
            f" {ttft_last:.3g} s within the point"
        )
    return ""


def _ttft(records: Sequence[Record]) -> float | None:
    found = [ttft_from_intent_s(record.as_call()) for record in records if record.error is None]
    values = [value for value in found if value is not None]
    return median(values) if values else None
