"""A benchmark from its plan to its last figure: servers up, every point on every side, servers down."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import islice

from agentbench.loadtest.dialect import Dialect
from agentbench.loadtest.plan import LoadPlan
from agentbench.loadtest.point import LoadPoint
from agentbench.loadtest.random_prompts import Form
from agentbench.loadtest.result import BenchResult, PointResult
from agentbench.loadtest.saturation import saturation
from agentbench.loadtest.side import Side, opened_side
from agentbench.loadtest.stretch import Driver, Stretch
from agentbench.loadtest.workload import Workload

MakeWorkload = Callable[[Dialect], Awaitable[Workload]]
Tell = Callable[[str], None]


async def run_bench(
    plan: LoadPlan, make_workload: MakeWorkload, forms: Sequence[Form], result: BenchResult, tell: Tell
) -> None:
    """Fill in `result`, point by point; what it holds is whole at every moment but for the point that is running."""
    async with AsyncExitStack() as stack:
        sides = []
        for number, wanted in enumerate(plan.sides):
            tell(f"{wanted.name}: starting {wanted.server.name}")
            log_path = plan.log_dir / f"{result.id}-{number}.server.log"
            side = await stack.enter_async_context(opened_side(wanted, log_path, plan.timeout_s, plan.extra_body))
            sides.append(await side.asked(forms, plan.vocab))
        workload = await make_workload(common_dialect([side.dialect for side in sides]))
        result.begin([side.to_json() for side in sides], workload.note)
        async for point in run_points(plan, workload, sides, result, tell):
            result.save()
            tell(point.line())


def common_dialect(dialects: Sequence[Dialect]) -> Dialect:
    """What all sides understand, so that all are asked the same."""
    order: list[Form] = ["ids", "text", "chat"]
    form = max((dialect.form for dialect in dialects), key=order.index)
    return Dialect(form=form, ignore_eos=all(dialect.ignore_eos for dialect in dialects))


async def run_points(
    plan: LoadPlan, workload: Workload, sides: Sequence[Side], result: BenchResult, tell: Tell
) -> AsyncIterator[PointResult]:
    """The points in order, until one is saturated (of a sweep) or no server answers any more."""
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


async def run_point(plan: LoadPlan, workload: Workload, sides: Sequence[Side], point: PointResult, tell: Tell) -> None:
    """Every round, side after side: A B A B, each side the same requests in a round."""
    for number in range(plan.rounds):
        for side in sides:
            part = f", round {number + 1} of {plan.rounds}" if plan.rounds > 1 else ""
            tell(f"{point.load.label}: {side.name}{part}")
            stretch = Stretch()
            try:
                await run_stretch(side, workload, point.load.round(number), stretch)
            finally:
                point.add(side.name, stretch)


async def run_stretch(side: Side, workload: Workload, load: LoadPoint, stretch: Stretch) -> None:
    """Warm up, then measure; sessions are drawn in one order, so that the warm-up's are not measured again."""
    driver = Driver(side.client, side.encode)
    warm = workload.sessions(f"{load.seed} warm-up")
    await driver.warm_up(stretch, warm, load.warmup, load.concurrency or load.warmup)
    sessions = workload.sessions(load.seed)
    planned = list(islice(sessions, load.requests))
    await driver.measure(stretch, planned, sessions, load)
