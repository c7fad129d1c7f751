"""What the command line may say."""

from typing import Any

import pytest

from agentbench.core.errors import UserError
from agentbench.loadtest import options
from agentbench.loadtest.workloads import WorkloadSpec


def test_numbers() -> None:
    assert options.numbers("--concurrency", "1,8, 32", int) == (1, 8, 32)
    assert options.numbers("--rate", "0.5", float) == (0.5,)
    assert options.numbers("--rate", None, float) == ()


@pytest.mark.parametrize("text", ["", "a", "1,,2", "0", "-1", "1.5", "nan", "inf"])
def test_what_is_no_list_of_numbers(text: str) -> None:
    with pytest.raises(UserError, match=r"--concurrency .*: expected positive numbers separated by commas"):
        options.numbers("--concurrency", text, int)


def test_objectives() -> None:
    assert options.objectives(["ttft=500ms", "tpot=0.05s"]) == {"ttft": 0.5, "tpot": 0.05}


@pytest.mark.parametrize(
    ("pair", "message"),
    [("ttft", "expected NAME=DURATION"), ("ttf=1s", "Did you mean 'ttft'"), ("ttft=soon", "expected a duration")],
)
def test_bad_objectives(pair: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        options.objectives([pair])


@pytest.mark.parametrize("text", ["1000", "5:5", "a:b", "-1:5"])
def test_a_bad_vocabulary(text: str) -> None:
    with pytest.raises(UserError, match="expected LOW:HIGH"):
        options.vocabulary(text)


def test_workloads() -> None:
    assert options.workload("random") == ("random", "")
    assert options.workload("suite:suites/x") == ("suite", "suites/x")
    assert options.workload("trace:latest~1") == ("trace", "latest~1")


@pytest.mark.parametrize(
    ("text", "message"),
    [("randm", "Did you mean 'random'"), ("suite", "expected suite:"), ("random:3", "expected random")],
)
def test_bad_workloads(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        options.workload(text)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_body_that_is_no_json_object(text: str) -> None:
    with pytest.raises(UserError, match="--extra-body"):
        options.json_object("--extra-body", text)


def test_a_side_is_a_url_or_a_server_with_its_knobs() -> None:
    url = options.side("A", "http://x/v1", "m", [])
    assert (url.server.name, url.server.options) == ("url", {"base_url": "http://x/v1", "model": "m"})
    own = options.side("A", "bundled", None, ["serving.max_num_seqs=4"])
    assert (own.server.name, own.server.options) == ("bundled", {"max_num_seqs": 4})


@pytest.mark.parametrize(
    ("server", "setting", "message"),
    [
        ("bundeld", "", "--server: unknown server 'bundeld'. Did you mean 'bundled'"),
        ("bundled", "serving.max_num_seq=4", "Did you mean 'max_num_seqs'"),
        ("bundled", "agent.output=free", "a benchmark has no such setting"),
        ("bundled", "max_num_seqs=4", "expected PATH=VALUE"),
    ],
)
def test_bad_sides(server: str, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        options.side("A", server, None, [setting] if setting else [])


def test_names_of_sides() -> None:
    assert options.side_names(None, [], 1) == ["server"]
    assert options.side_names(None, [], 3) == ["A", "B", "C"]
    assert options.side_names("ours", ["theirs"], 3) == ["ours", "theirs", "C"]
    with pytest.raises(UserError, match="two sides have the same name"):
        options.side_names("B", [], 2)
    with pytest.raises(UserError, match="there are 1 --vs for 2 names"):
        options.side_names(None, ["x", "y"], 2)


def a_plan(**other: Any) -> Any:
    given: dict[str, Any] = {
        "name": "x",
        "sides": (options.side("A", "http://x/v1", None, []),),
        "workload": WorkloadSpec(kind="random"),
        "concurrencies": (),
        "rates": (),
        "arrivals": "poisson",
        "burstiness": 1.0,
        "requests": 0,
        "duration": None,
        "warmup": 2,
        "seed": 0,
        "rounds": None,
        "sweep": False,
        "limits": {},
        "timeout": "10m",
        "extra_body": {},
    }
    return options.plan(**given | other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"concurrencies": (1,), "rates": (1.0,)}, "give one of them"),
        ({"arrivals": "poison"}, "Did you mean 'poisson'"),
        ({"burstiness": 0.0, "arrivals": "gamma"}, "expected a number above 0"),
        ({"burstiness": 2.0}, "--arrivals gamma"),
        ({"duration": "long"}, "--duration 'long'"),
        ({"timeout": "0s"}, "expected more than 0"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        a_plan(**given)


def points(plan: Any) -> list[tuple[str, int]]:
    return [(point.label, point.requests) for point in plan.points(WorkloadSize())]


class WorkloadSize:
    path = "completions"
    note = ""
    size: int | None = None


def test_points_and_how_many_requests_they_have() -> None:
    assert points(a_plan()) == [("c=1", 16)]
    assert points(a_plan(concurrencies=(2, 32))) == [("c=2", 16), ("c=32", 128)]
    assert points(a_plan(rates=(0.5, 8.0))) == [("0.5/s", 16), ("8/s", 80)]
    assert points(a_plan(requests=5)) == [("c=1", 5)]
    assert points(a_plan(duration="3s")) == [("c=1", 0)]
    assert [label for label, _ in points(a_plan(sweep=True, concurrencies=(3,)))][:3] == ["c=3", "c=6", "c=12"]
    assert points(a_plan(workload=WorkloadSpec(kind="trace", what="x"))) == [("recorded", 16)]


def test_every_round_has_a_seed_of_its_own() -> None:
    [point] = a_plan().points(WorkloadSize())
    assert len({point.seed, point.round(0).seed, point.round(1).seed}) == 3
