"""What of a study's space is searched by asking cases, and what by sending recorded requests again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tuners.stub_server import StubServer
from tuners.study.study import make_study

STUDY = """
name: toy
split: {{test: 20, seed: 1}}
budget: {{trials: 5}}
space:
  serving.knob: {{choices: [1, 2, 4]}}
  {more}
"""


@pytest.mark.parametrize(
    ("more", "inner"),
    [
        ("serving.word: {choices: [even, odd]}", {"serving.knob"}),
        ("serving.exact: {choices: [true, false]}", set()),
        ("serving.exact: {choices: [false]}", set()),
    ],
)
def test_a_knob_is_replayed_only_where_it_is_lossless_for_every_candidate(
    more: str, inner: set[str], stub: type[StubServer], study: Callable[[str], Path]
) -> None:
    searched, replayed = make_study(study(STUDY.format(more=more)), {}).spaces()
    assert set(replayed.parameters) == inner
    assert len({**searched.parameters, **replayed.parameters}) == 2
