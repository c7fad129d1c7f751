"""Knobs: searched once for a server, taken over by similar candidates, within a share of the time."""

from collections.abc import Sequence

from tuners.search.budget import BudgetOptions, Spending
from tuners.search.candidate import Candidate
from tuners.search.evaluator import UNBOUNDED, Allowance, Answers, Limit, Measured
from tuners.search.knobs import KnobTuner
from tuners.space.configuration import Configuration
from tuners.space.parameters import Choices
from tuners.space.space import Settings, Space

INNER = Space(parameters={"serving.knob": Choices(choices=(1, 2, 3, 4))})


class Server:
    """A higher knob serves better, except that 4 does not meet a limit of 1 s; each measurement takes 10 s."""

    def __init__(self) -> None:
        self.now = 0.0
        self.measured: list[Settings] = []

    async def answer(
        self, configuration: Configuration, cases: Sequence[str], allowance: Allowance = UNBOUNDED
    ) -> Answers:
        raise AssertionError("knobs change no answer")

    async def measure(
        self, configuration: Configuration, lossless: Settings, allowance: Allowance = UNBOUNDED
    ) -> Measured:
        settings = configuration.settings
        self.now += 10
        self.measured.append({**settings, **lossless})
        knob = {**settings, **lossless}.get("serving.knob", 1)
        return Measured(figures={"goodput": knob, "ttft_p95": 2.0 if knob == 4 else 0.5}, replayed=16)

    def configuration(self, settings: Settings, seed: int | None = None) -> Configuration:
        served = str(settings.get("serving.quantization"))
        return Configuration(settings=settings, seed=0, answers=str(settings), served=served)

    def attempts_run(self, configuration: Configuration, cases: Sequence[str]) -> int:
        return 0

    def spent(self) -> int:
        return 16 * len(self.measured)


def tuner(server: Server, before: float = 1e6) -> KnobTuner:
    spending = Spending(BudgetOptions(trials=9), clock=lambda: server.now, before=before)
    return KnobTuner(INNER, server, (Limit(metric="ttft_p95", bound=1.0),), spending)


def candidate(number: int, settings: Settings, tokens: float = 100.0, *, searched: bool = False) -> Candidate:
    return Candidate(
        number=number,
        settings=settings,
        end="finished",
        rung=3,
        quality=0.5,
        scores={"c": 1.0},
        figures={"tokens": tokens, "ttft_p95": 0.5, "goodput": 1.0},
        searched=searched,
    )


async def test_the_best_knobs_that_meet_the_limits_win() -> None:
    server = Server()
    found = await tuner(server).tuned(candidate(1, {"serving.quantization": "int8"}), ())
    assert found.settings == {"serving.quantization": "int8", "serving.knob": 3}
    assert (found.searched, found.case_runs, found.feasible) == (True, 16 * len(server.measured), True)
    assert found.figures["goodput"] == 3


async def test_a_similar_candidate_takes_the_knobs_over_and_is_measured_once() -> None:
    server = Server()
    searched_before = candidate(1, {"serving.quantization": "int8", "serving.knob": 3}, searched=True)
    found = await tuner(server).tuned(candidate(2, {"serving.quantization": "int8"}, tokens=110), [searched_before])
    assert found.settings == searched_before.settings
    assert (len(server.measured), found.searched) == (1, False)
    same = await tuner(server).tuned(candidate(3, dict(searched_before.settings)), [searched_before])
    assert (same.settings, len(server.measured)) == (searched_before.settings, 1)


async def test_another_server_or_other_lengths_need_a_new_search() -> None:
    searched_before = candidate(1, {"serving.quantization": "int8", "serving.knob": 3}, searched=True)
    for settings, tokens in (({"serving.quantization": "int4"}, 100), ({"serving.quantization": "int8"}, 200)):
        server = Server()
        found = await tuner(server).tuned(candidate(2, settings, tokens), [searched_before])
        assert (found.searched, len(server.measured) > 1) == (True, True)


async def test_knobs_get_at_most_a_quarter_of_the_time() -> None:
    server = Server()
    found = await tuner(server, before=40.0).tuned(candidate(1, {}), ())
    assert len(server.measured) == 2
    assert found.searched
