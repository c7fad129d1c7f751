"""What a study may search, and what of it is searched by asking cases or by sending recorded requests again."""

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


def test_an_agent_is_looked_for_beside_the_suite(
    stub: type[StubServer],
    study: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = study(STUDY.format(more='agent: [{name: callable, target: "own.py:answer"}]'))
    path.with_name("own.py").write_text("async def answer(case):\n    return ''\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert make_study(path, {}).name == "toy"
