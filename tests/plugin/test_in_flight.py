"""Which attempts were in flight when a worker died, and which of them was alone."""

from pathlib import Path

from agentbench.plugin.shared_run import InFlight


def test_only_the_last_of_those_made_alone_was_alone_in_flight(tmp_path: Path) -> None:
    file = tmp_path / "run.flight"
    assert InFlight(file).unfinished(set()) == {}
    for case_id in ("a", "b", "c"):
        InFlight(file).begin((case_id, 0), alone=False)
    assert InFlight(file).unfinished({("a", 0)}) == {("b", 0): False, ("c", 0): False}
    for case_id in ("b", "c"):
        InFlight(file).begin((case_id, 0), alone=True)
    assert InFlight(file).unfinished({("a", 0)}) == {("b", 0): False, ("c", 0): True}, "b ended and was not stored yet"
    with file.open("a") as out:
        out.write('["d", ')
    assert InFlight(file).unfinished({("a", 0), ("b", 0)}) == {("c", 0): True}
