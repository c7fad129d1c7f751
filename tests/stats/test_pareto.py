"""The Pareto front has every point that none dominates, and no other."""

from hypothesis import given
from hypothesis import strategies as st

from agentbench.stats.pareto import dominates, pareto_front

VALUES = st.integers(0, 4)


@given(st.dictionaries(st.text(max_size=2), st.tuples(VALUES, VALUES), max_size=12))
def test_a_point_is_on_the_front_unless_one_of_the_front_dominates_it(points: dict[str, tuple[int, int]]) -> None:
    front = pareto_front(points)
    for key, point in points.items():
        assert (key in front) != any(dominates(points[other], point) for other in front)


def test_equal_points_are_both_on_the_front_and_more_is_better() -> None:
    assert pareto_front({"a": (0.5, 1.0), "b": (0.5, 1.0), "c": (0.4, 1.0), "d": (0.1, 2.0)}) == ["a", "b", "d"]
