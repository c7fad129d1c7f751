"""What a run is planned as, and which runs can be gone on with."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.report.config_diff import config_diff
from agentbench.run.experiment import plan, resume
from agentbench.servers.bundled import BundledServer
from agentbench.store import Store, open_store
from agentbench.suite.config import canonical_hash
from agentbench.suite.suite import Suite, load_suite

SUITE = """\
name: letters
dataset: {name: jsonl}
scorers: [{name: includes, texts: [ok]}]
agent: chat
backend: {name: scripted, default: ok}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "a.db")) as store:
        yield store


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "suite.yaml").write_text(SUITE)
    lines = [json.dumps({"id": name, "input": "?"}) + "\n" for name in "abcde"]
    (tmp_path / "cases.jsonl").write_text("".join(lines))
    return load_suite(tmp_path)


def test_a_part_that_was_broken_off_goes_on_with_its_own_cases(suite: Suite, store: Store) -> None:
    begun = plan(suite.only(frozenset("bd")), store)
    assert (begun.run.kind, begun.run.suite_cases) == ("part", 5)
    again = resume("latest", store)
    assert [case.id for case in again.suite.cases] == ["b", "d"]
    with (suite.root / "cases.jsonl").open("a") as file:
        file.write(json.dumps({"id": "f", "input": "?"}) + "\n")
    assert [case.id for case in resume("latest", store).suite.cases] == ["b", "d"]
    (suite.root / "cases.jsonl").write_text(json.dumps({"id": "b", "input": "other"}))
    with pytest.raises(UserError, match=r"the cases of .* have changed"):
        resume("latest", store)


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("suite.yaml", "texts: [ok]", "texts: [bad]", "scorers"),
        ("suite.yaml", "[tools.py:now]", "[]", "tools"),
        ("tools.py", '"now"', '"then"', "tools.py"),
        ("agent.py", '"ok"', '"bad"', "agent.py"),
    ],
)
def test_a_run_goes_on_only_with_the_parts_that_it_was_begun_with(
    suite: Suite, store: Store, file: str, old: str, new: str, part: str
) -> None:
    """Else one run would mix two graders, or two agents."""
    root = suite.root
    (root / "agent.py").write_text('def answer(case):\n    return "ok"\n')
    (root / "tools.py").write_text('def now() -> str:\n    """Now."""\n    return "now"\n')
    agent = "tools: [tools.py:now]\nagent: {name: callable, target: agent.py:answer}"
    suite.path.write_text(SUITE.replace("agent: chat", agent))
    plan(load_suite(root), store)
    resume("latest", store)
    (root / file).write_text((root / file).read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"can't be resumed: .*{part}.* changed since it was started"):
        resume("latest", store)


def test_a_run_of_an_earlier_version_knows_its_scorers_words(suite: Suite, store: Store) -> None:
    run = plan(suite, store).run
    environment = {key: value for key, value in run.environment.items() if key != "made_of"}
    store.create_run(replace(run, id="old", environment=environment))
    resume("old", store)
    suite.path.write_text(SUITE.replace("texts: [ok]", "texts: [bad]"))
    with pytest.raises(UserError, match="can't be resumed: scorers changed"):
        resume("old", store)


def test_a_run_from_before_the_files_own_precision_goes_on_in_16_bits(
    suite: Suite, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration leaves the quantization out, and is another one than that of a run with today's default."""
    monkeypatch.setattr(BundledServer, "check", lambda _: None)  # no server is started, and PyTorch need not be here
    suite.path.write_text(SUITE.replace("backend: {name: scripted, default: ok}", f"serving: {{model: {suite.path}}}"))
    run = plan(load_suite(suite.root), store).run
    assert run.config["serving"] == {"server": "bundled", "model": str(suite.path), "quantization": "auto"}
    before = {**run.config, "serving": {"server": "bundled", "model": str(suite.path)}}
    store.create_run(replace(run, id="before", config=before, config_hash=canonical_hash(before)))
    assert resume("before", store).suite.config.serving.options["quantization"] == "none"
    assert resume(run.id, store).suite.config.serving.options["quantization"] == "auto"
    [change] = config_diff(before, run.config)
    assert (change.path, change.b) == ("serving.quantization", "auto")


def test_a_rerun_and_a_run_of_a_study_are_gone_on_with_elsewhere(suite: Suite, store: Store) -> None:
    run = plan(suite, store).run
    store.create_run(replace(run, id="again", kind="rerun"))
    store.create_run(replace(run, id="inner", kind="study", environment={"study": {"name": "words"}}))
    with pytest.raises(UserError, match="run again is a rerun of failing cases"):
        resume("again", store)
    with pytest.raises(UserError, match="agentbench tune --resume words"):
        resume("inner", store)


def test_settings_from_outside_are_known(suite: Suite, store: Store) -> None:
    other = load_suite(suite.root, {"agent.max_tokens": 9, "run.limit": 2})
    run = plan(other, store).run
    assert (run.kind, len(run.case_ids), run.suite_cases) == ("part", 2, 5)
    assert run.environment["overridden"] == ["agent.max_tokens", "run.limit"]
