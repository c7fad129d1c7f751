"""The parameter `propose` in study.yaml, the prompt of the proposing model, and the instruction in its answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentbench.core.attempt import Attempt, Score
from agentbench.core.case import Case
from agentbench.core.trace import Trace
from tests.tuners.space.test_space import Script, read
from tuners.proposals.proposal_model import LONGEST, MOST, clean_instruction, proposal_messages
from tuners.space.instructions import TEMPLATES, slot_of
from tuners.space.space import suggest
from tuners.study.check import example_settings

ALL = {"templates": ["terse", "decompose"], "texts": [None, "Be exact."], "model": {"slots": 2}}


class Categories(Script):
    """Records how many values a sampler chooses among."""

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.seen: list[int] = []

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.seen.append(len(choices))
        return super().suggest_categorical(name, choices)


def test_templates_then_texts_then_the_model_s_slots_are_the_values() -> None:
    space = read(instructions={"propose": ALL})
    script = Categories(0.0)
    found = []
    for share in (0.0, 0.2, 0.4, 0.6, 0.7, 0.9):
        script.share = share
        found.append(suggest(space, script)["instructions"])
    assert found == [TEMPLATES["terse"], TEMPLATES["decompose"], None, "Be exact.", {"proposal": 0}, {"proposal": 1}]
    assert set(script.seen) == {6}
    assert [slot_of(value) for value in found] == [None] * 4 + [0, 1]


def test_a_condition_decides_on_instructions_and_every_value_has_an_example() -> None:
    space = read(output=["free", "tools"], instructions={"propose": ALL, "when": {"output": "tools"}})
    assert suggest(space, Script(0.0)) == {"output": "free"}
    examples = [settings["instructions"] for path, settings in example_settings(space) if path == "instructions"]
    assert len(examples) == 6
    assert all(value is None or isinstance(value, str) for value in examples)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "templates, texts or a model"),
        ({"templates": ["chain_of_though"]}, "chain_of_thought"),
        ({"model": {}}, "slots"),
        ({"model": {"slots": 1, "minibatch": 1}}, "minibatch"),
        ({"model": {"slots": 1, "base_url": "x"}}, "base_url"),
    ],
)
def test_an_invalid_propose_is_refused(entry: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(path={"propose": entry})


@pytest.mark.parametrize(
    ("wrote", "instruction"),
    [
        ("Read the units.", "Read the units."),
        ('  "Read the units."\n', "Read the units."),
        ("“Read the units.”", "Read the units."),
        ('Say "yes" or "no"', 'Say "yes" or "no"'),
        ('"Yes" is said, or "no"', '"Yes" is said, or "no"'),
        ("Instruction: Read the units.", "Read the units."),
        ("**New instruction:** Read the units.", "Read the units."),
        ("Sure! Here is the improved instruction:\n\nRead the units.", "Read the units."),
        ("Here is one:\n```text\nRead the units.\n```\nI hope it helps!", "Read the units."),
        ("<think>They fail on units.</think>Read the units.", "Read the units."),
        ("<think>They fail on units and I never stop", ""),
        ("Read the units.<|im_end|>\n<|im_start|>", "Read the units."),
        ("Read.\nRead.\n\nWrite.\nRead.", "Read.\nWrite."),
        ("\x00\x07", ""),
        ('""', ""),
        ("...", ""),
        ("", ""),
    ],
)
def test_labels_quotes_and_fences_around_an_instruction_are_removed(wrote: str, instruction: str) -> None:
    assert clean_instruction(wrote) == instruction


def test_an_endless_instruction_is_cut_after_a_sentence_or_a_word() -> None:
    sentences = " ".join(f"Rule {number} is this." for number in range(500))
    assert MOST - 40 < len(clean_instruction(sentences)) <= MOST
    assert clean_instruction(sentences).endswith("is this.")
    words = "word " * 2000
    assert clean_instruction(words).endswith("word")
    assert 0 < len(clean_instruction("a" * 5000)) <= MOST


@given(st.text(max_size=3000))
def test_any_answer_becomes_a_bounded_text_that_can_be_sent_and_stored(wrote: str) -> None:
    text = clean_instruction(wrote)
    assert len(text) <= MOST
    assert text == text.strip()
    assert "\x00" not in text
    text.encode()


def failing(question: str = "How far?", output: str = "5 m", reason: str = "expected km") -> tuple[Case, Attempt]:
    case = Case(id="c", messages=({"role": "user", "content": question},), expected="5 km")
    attempt = Attempt(
        case_id="c",
        cluster="c",
        repeat=0,
        seed=0,
        tries=1,
        started_at=0,
        ended_at=1,
        wall_anchor_ns=0,
        trace=Trace(output=output),
        scores=(Score(name="exact", value=0.0, passed=False, reason=reason),),
        passed=False,
    )
    return case, attempt


def test_the_prompt_shows_question_answer_and_reason_and_cuts_long_ones() -> None:
    [system, user] = proposal_messages("Be brief.", [failing(), failing(question="x" * 5000)])
    for part in ("Be brief.", "Asked: How far?", "Answered: 5 m", "Wrong because: expected km", "Failed task 2"):
        assert part in user["content"]
    assert "x" * LONGEST + "…" in user["content"]
    assert len(user["content"]) < 3 * LONGEST
    assert system["role"] == "system"


def test_the_prompt_asks_to_keep_the_mark_of_the_tools_if_there_is_one() -> None:
    assert "Keep the mark {tools}" in proposal_messages("Call {tools}.", [failing()])[1]["content"]
    assert "{tools}" not in proposal_messages(None, [failing()])[1]["content"]
