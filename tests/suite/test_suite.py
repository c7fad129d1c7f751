"""Suites: what is read, and what is told of a mistake."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.suite.suite import load_suite

GOOD = """\
name: tiny
version: 2
dataset: {name: jsonl, path: cases.jsonl}
scorers: [exact]
objectives: {ttft: 500ms, latency: 2s}
agent: {name: chat, max_tokens: 8}
backend: scripted
run: {repeats: 2}
"""
CASES = "\n".join(f'{{"id": "c{number}", "input": "say {number}", "expected": "{number}"}}' for number in range(30))


def write(folder: Path, suite: str = GOOD, cases: str = CASES) -> Path:
    (folder / "suite.yaml").write_text(suite)
    (folder / "cases.jsonl").write_text(cases)
    return folder


def test_a_suite_is_read_with_its_defaults(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path))
    assert (suite.name, suite.version, suite.mode, suite.passed_by) == ("tiny", "2", "strict", ("exact",))
    assert suite.objectives == {"ttft": 0.5, "latency": 2.0}
    assert suite.config.agent.options == {"max_tokens": 8}
    assert suite.config.run.repeats == 2
    assert len(suite.cases) == 30


def test_overrides_change_the_configuration_and_not_the_cases(tmp_path: Path) -> None:
    plain = load_suite(write(tmp_path))
    changed = load_suite(tmp_path / "suite.yaml", {"agent.max_tokens": 4, "run.limit": 5})
    assert changed.config.agent.options == {"max_tokens": 4}
    assert changed.content_hash() == plain.content_hash()


def test_a_sample_is_drawn_by_seed_and_never_the_first_cases(tmp_path: Path) -> None:
    write(tmp_path)
    ids = [
        [case.id for case in load_suite(tmp_path, {"run.limit": 10, "run.sample_seed": seed}).drawn().cases]
        for seed in (0, 0, 1)
    ]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] != [f"c{number}" for number in range(10)]
    assert len(set(ids[0])) == 10
    assert len(load_suite(tmp_path, {"run.limit": 99}).drawn().cases) == 30


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tiny", "nam: tiny", r"suite\.yaml:1: unknown key 'nam'. Did you mean 'name'\? Valid keys: agent, "),
        ("version: 2\n", "", None),
        ("scorers: [exact]\n", "", r"suite\.yaml: key 'scorers' is missing"),
        ("scorers: [exact]", "scorers: [exat]", r"suite\.yaml:4: unknown scorer 'exat'. Did you mean 'exact'"),
        ("scorers: [exact]", "scorers: []", r"suite\.yaml:4: scorers = \[\]: .*at least 1"),
        ("scorers: [exact]", "scorers: [exact, regex]", r"passed_by says which decides: exact, regex"),
        ("scorers: [exact]", "scorers: [exact]\npassed_by: regex", r"suite\.yaml:5: unknown scorer 'regex'"),
        (
            "scorers: [exact]",
            "scorers: [exact, exact]",
            r"suite\.yaml:4: two scorers are named 'exact'; give one another name",
        ),
        ("scorers: [exact]", "scorers: [exact]\npassed_by: []", r"suite\.yaml:5: passed_by is empty"),
        ("scorers: [exact]", "scorers: [exact]\npassed_by: [exact, x]", r"suite\.yaml:5: unknown scorer 'x'"),
        ("max_tokens: 8", "max_tokens: many", r"suite\.yaml:6: agent\.max_tokens = 'many'"),
        ("max_tokens: 8", "max_token: 8", r"suite\.yaml:6: unknown key 'agent\.max_token'. Did you mean 'max_tokens'"),
        ("name: chat", "name: chatt", r"suite\.yaml:6: unknown agent 'chatt'. Did you mean 'chat'"),
        ("backend: scripted", "backend: scriptd", r"suite\.yaml:7: unknown backend 'scriptd'"),
        ("backend: scripted", "serving: {server: bundle}", r"suite\.yaml:7: unknown server 'bundle'"),
        ("ttft: 500ms", "ttft: fast", r"suite\.yaml:5: objectives\.ttft = 'fast': expected a duration"),
        ("ttft: 500ms", "tft: 500ms", r"suite\.yaml:5: unknown key 'objectives\.tft'. Did you mean 'ttft'"),
        ("repeats: 2", "repeats: 0", r"suite\.yaml:8: run\.repeats = 0: .*greater than or equal to 1"),
        ("path: cases.jsonl", "path: nowhere.jsonl", r"nowhere\.jsonl: the cases can't be read"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, old: str, new: str, message: str | None) -> None:
    write(tmp_path, GOOD.replace(old, new))
    if message is None:
        assert load_suite(tmp_path).version == "1"
        return
    with pytest.raises(UserError, match=message) as caught:
        load_suite(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("passed_by", "deciding"),
    [
        ("strictly", ("strictly",)),
        ("[strictly, regex]", ("strictly", "regex")),
        ("all", ("strictly", "loosely", "regex")),
    ],
)
def test_scorers_of_one_kind_have_names_and_several_may_decide(
    tmp_path: Path, passed_by: str, deciding: tuple[str, ...]
) -> None:
    several = """\
scorers:
  - {name: exact, as: strictly}
  - {name: exact, as: loosely, ignore_case: true}
  - {name: regex, pattern: x}
passed_by: """
    suite = load_suite(write(tmp_path, GOOD.replace("scorers: [exact]", several + passed_by)))
    assert [scorer.name for scorer in suite.scorers] == ["strictly", "loosely", "regex"]
    assert suite.passed_by == deciding


def test_a_scorer_finds_its_files_beside_the_suite(tmp_path: Path) -> None:
    asked = GOOD.replace("scorers: [exact]", "scorers: [{name: judge, rubric_file: rubric.md}]")
    with pytest.raises(UserError, match=r"judge: rubric_file = 'rubric\.md' can't be read"):
        load_suite(write(tmp_path, asked))
    (tmp_path / "rubric.md").write_text("Be right.")
    assert load_suite(tmp_path).passed_by == ("judge",)


def test_a_mistake_in_an_override_names_the_override(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set agent\.max_token: unknown key 'agent\.max_token'"):
        load_suite(write(tmp_path), {"agent.max_token": 3})


def test_a_suite_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"suite\.yaml:3: the dataset 'jsonl' has no cases"):
        load_suite(write(tmp_path, cases="\n"))


def test_an_unknown_suite_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    write(tmp_path / "tiny")
    with pytest.raises(UserError, match=r"unknown suite '.*tinny'. Did you mean '.*tiny'"):
        load_suite(tmp_path / "tinny")


@pytest.mark.parametrize(
    ("kind", "user", "message"),
    [
        (
            "scripted",
            '{"line": ["and 3"]}',
            r"cases.jsonl:1: case 'c0': unknown key 'user.line'. Did you mean 'lines'\?",
        ),
        ("scripted", '{"lines": "and 3"}', r"cases.jsonl:1: case 'c0': user.lines = 'and 3': .*valid tuple"),
        ("scripted", '{"lines": [{"role": "user"}]}', "cases.jsonl:1: case 'c0': user.lines.0"),
        (
            "model",
            '{"goals": "a refund"}',
            r"cases.jsonl:1: case 'c0': unknown key 'user.goals'. Did you mean 'goal'\?",
        ),
        ("model", '{"max_turns": 0}', "cases.jsonl:1: case 'c0': user.max_turns = 0"),
    ],
)
def test_what_a_case_says_of_its_user_is_checked(tmp_path: Path, kind: str, user: str, message: str) -> None:
    line = f'{{"id": "c0", "input": "say 0", "expected": "0", "user": {user}}}'
    with pytest.raises(UserError, match=message):
        load_suite(write(tmp_path, GOOD + f"user: {kind}\n", line))


def test_what_a_suite_is_graded_by_is_kept_with_it(tmp_path: Path) -> None:
    written = load_suite(write(tmp_path, GOOD.replace("[exact]", "[{name: exact, ignore_case: true}]"))).written
    assert written == {"tools": [], "user": {"name": "scripted"}, "scorers": [{"name": "exact", "ignore_case": True}]}


@pytest.mark.parametrize(
    "name", ["a b/c", "../../../x", "..", "/tmp/x", "a\\\\b", "", " ", "x ", "-x", ".x", "a\\nb", "x" * 200]
)
def test_a_name_that_can_not_begin_a_files_name_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD.replace("name: tiny", f'name: "{name}"'))
    with pytest.raises(UserError, match=r"suite\.yaml:1: name = .*use letters, digits, spaces"):
        load_suite(tmp_path)


@pytest.mark.parametrize("name", ["a b", "v1.2", "größe_2", "a+b,c-d", "7"])
def test_a_name_may_be_any_words(tmp_path: Path, name: str) -> None:
    assert load_suite(write(tmp_path, GOOD.replace("name: tiny", f'name: "{name}"'))).name == name


@pytest.mark.parametrize(
    ("scorer", "expected", "message"),
    [
        ("exact", '{"other": 1}', "exact needs a text or a list of accepted ones"),
        ("exact", "true", "exact needs a text or a list of accepted ones"),
        ("exact", "[]", "exact needs a text or a list of accepted ones"),
        ("exact", "null", "has no expected text"),
        ("regex", '"("', "is not a regular expression: missing"),
        ("regex", "4", "is not a regular expression: it is no text"),
        ("regex", '""', "a pattern that every answer passes"),
        ("regex", '" "', "a pattern that every answer passes"),
        ("regex", '"a*"', "a pattern that every answer passes"),
        ("{name: regex, full: true}", '".*"', "a pattern that every answer passes"),
        ("includes", '""', "'' is in every answer"),
        ("includes", '["x", " "]', "' ' is in every answer"),
        ("includes", "null", "includes needs a text or a list of texts"),
        ("numeric", '"five"', "numeric needs a number"),
        ("numeric", '{"exact": "5"}', "numeric needs a number"),
        ("json_equal", "null", "has no expected value"),
        ("json_schema", '{"type": "strng"}', "expected is not a JSON Schema"),
        ("semantic", '" "', "semantic needs a text or a list of texts"),
        ("pairwise", "null", "pairwise needs an answer there, or run"),
        ("trajectory", '[{"tool": "f"}]', "trajectory needs"),
        ("{name: trajectory, mode: superset}", "[]", "any calls would pass in mode superset"),
        ("tool_call_match", '{"min_calls": 0}', "tool_call_match needs"),
        ("tool_call_match", '{"min_calls": true}', "tool_call_match needs"),
        ("bfcl_multi_turn", '{"calls": []}', "bfcl_multi_turn needs"),
        ("end_state", '{"states": {}}', "end_state needs"),
        ("{name: end_state, partial: true}", '{"state": {}}', "any state would pass"),
        ("{name: end_state, ignore: [a]}", '{"state": {"a": 1}}', "any state would pass"),
        ("facts", '{"facts": [], "numeric": 5}', "unknown key 'expected.numeric'.*facts needs"),
        ("facts", '{"facts": [{"fact": "f", "accept": [""]}]}', "a pattern that every answer passes.*facts needs"),
        ("facts", '{"facts": [{"fact": "f", "accept": ["("]}]}', "not a regular expression.*facts needs"),
    ],
)
def test_what_a_case_expects_is_checked_when_the_suite_is_read(
    tmp_path: Path, scorer: str, expected: str, message: str
) -> None:
    line = f'{{"id": "c7", "input": "x", "expected": {expected}}}'
    with pytest.raises(UserError, match=rf"cases\.jsonl:2: case 'c7'.*{message}") as caught:
        load_suite(write(tmp_path, GOOD.replace("[exact]", f"[{scorer}]"), f"\n{line}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        ('{name: includes, texts: [""]}', "'' is in every answer"),
        ('{name: includes, texts: [a, " "]}', "' ' is in every answer"),
        ('{name: regex, pattern: ""}', r"scorers\.0\.pattern = '': a pattern that every answer passes"),
        ('{name: regex, pattern: ".*", full: true}', "a pattern that every answer passes"),
        ("{name: numeric, rel_tolerance: .inf}", "finite number"),
        ("{name: json_equal, tolerance: .inf}", "finite number"),
        ("{name: end_state, tolerance: .inf}", "finite number"),
    ],
)
def test_an_option_with_which_every_answer_passes_is_refused(tmp_path: Path, scorer: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"suite\.yaml:4: .*{message}"):
        load_suite(write(tmp_path, GOOD.replace("[exact]", f"[{scorer}]")))
