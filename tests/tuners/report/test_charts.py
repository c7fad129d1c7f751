"""The charts of a study's page."""

from tuners.report.charts import front_chart
from tuners.search.candidate import Candidate


def candidate(number: int, goodput: float, quality: float, **settings: str) -> Candidate:
    return Candidate(
        number=number,
        settings={f"serving.{name}": value for name, value in settings.items()},
        end="finished",
        rung=1,
        quality=quality,
        scores={"a": quality},
        figures={"goodput": goodput},
    )


def test_the_front_names_its_models_where_they_change() -> None:
    front = [
        candidate(0, 4, 0.1),
        candidate(1, 3, 0.2, model="small"),
        candidate(2, 2, 0.5, model="small"),
        candidate(3, 1, 0.9, model="<b>large"),
    ]
    aside = candidate(4, 0.5, 0.1, model="other")
    layout = front_chart([*front, aside], [0, 1, 2, 3], 3, "goodput", "right answers per second").layout
    assert [(each["text"], each["x"]) for each in layout["annotations"]] == [("‹b›large", 1), ("small", 2)]
