"""A study's search space and its lossless knobs, and the checks before it starts."""

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
def test_only_a_knob_that_is_lossless_for_every_candidate_is_replayed(
    more: str, inner: set[str], stub: type[StubServer], study: Callable[[str], Path]
) -> None:
    searched, replayed = make_study(study(STUDY.format(more=more)), {}).spaces()
    assert set(replayed.parameters) == inner
    assert len({**searched.parameters, **replayed.parameters}) == 2


def test_an_agent_s_file_is_found_beside_the_suite(
    stub: type[StubServer],
    study: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = study(STUDY.format(more='agent: [{name: callable, target: "own.py:answer"}]'))
    path.with_name("own.py").write_text("async def answer(case):\n    return ''\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert make_study(path, {}).name == "toy"
