"""When a server is saturated."""

from agentbench.loadtest.bench import saturation
from agentbench.loadtest.plan import LoadPoint
from agentbench.loadtest.record import Record
from agentbench.loadtest.result import PointResult, Round
from tests.loadtest.records import record


def point(load: LoadPoint, records: list[Record]) -> PointResult:
    found = PointResult(load=load, limits={}, architectures={}, peak=None)
    found.sides["A"] = [
        Round(records=tuple(records), wall_ns=0, elapsed_s=1.0, client_cpu_s=0.0, complete=True),
    ]
    return found


def arriving(every: float, busy: float, count: int = 60) -> list[Record]:
    """A server that works `busy` ms on one request at a time, and requests that come `every` ms."""
    found, free = [], 0.0
    for index in range(count):
        wanted = index * every
        begin = max(free, wanted)
        free = begin + busy
        found.append(record(index, sent=wanted, chunks=(begin + busy / 2, free)))
    return found


def test_an_open_loop_that_is_faster_than_the_server_saturates_it() -> None:
    load = LoadPoint(rate=20)
    assert saturation(point(load, arriving(50, 80)), None, "A").startswith("outstanding requests rose from")
    assert saturation(point(load, arriving(50, 40)), None, "A") == ""


def test_filling_up_at_the_start_is_no_saturation() -> None:
    steady = [record(i, sent=i * 10, chunks=(i * 10 + 300, i * 10 + 500)) for i in range(200)]
    assert saturation(point(LoadPoint(rate=100), steady), None, "A") == ""


def test_too_few_requests_show_no_trend() -> None:
    assert saturation(point(LoadPoint(rate=20), arriving(50, 80, 9)), None, "A") == ""


def closed(clients: int, ttft: float, count: int = 32) -> PointResult:
    """`clients` at once, each request `ttft` and then a token every 10 ms."""
    length = ttft + 40
    records = [
        record(i, sent=(i // clients) * length, chunks=tuple((i // clients) * length + ttft + 10 * k for k in range(5)))
        for i in range(count)
    ]
    return point(LoadPoint(concurrency=clients), records)


def test_twice_the_clients_that_only_wait_longer_saturate_a_closed_loop() -> None:
    assert "but output only ×" in saturation(closed(8, 140), closed(4, 50), "A")


def test_more_throughput_is_no_saturation_nor_is_the_first_point() -> None:
    assert saturation(closed(8, 60), closed(4, 50), "A") == ""
    assert saturation(closed(8, 5000), None, "A") == ""
