"""Random prompts: lengths, prefixes, seeds."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from agentbench.loadtest.workload import Turn
from agentbench.loadtest.workloads import RandomPrompts


def turns(workload: RandomPrompts, count: int = 50, seed: str = "1") -> list[Turn]:
    return [session.turns[0] for session in islice(workload.sessions(seed), count)]


@given(st.integers(1, 300), st.integers(1, 100), st.floats(0, 1), st.integers(0, 9))
def test_lengths_stay_within_the_spread(tokens: int, output: int, spread: float, seed: int) -> None:
    for turn in turns(RandomPrompts(input_tokens=tokens, output_tokens=output, spread=spread), seed=str(seed)):
        prompt = turn.body["prompt"]
        assert len(prompt) == turn.prompt_tokens
        assert turn.body["max_tokens"] == turn.output_tokens
        assert max(1, round(tokens * (1 - spread))) <= len(prompt) <= round(tokens * (1 + spread))
        assert all(1000 <= token < 30000 for token in prompt)


def test_without_spread_every_prompt_is_as_long_as_asked_and_greedy() -> None:
    for turn in turns(RandomPrompts(input_tokens=32, output_tokens=8)):
        assert (turn.prompt_tokens, turn.output_tokens) == (32, 8)
        assert (turn.body["temperature"], turn.body["ignore_eos"]) == (0, True)


def test_a_prefix_is_shared_by_its_group_and_nothing_else_is() -> None:
    workload = RandomPrompts(input_tokens=16, output_tokens=4, prefix_tokens=40, groups=3)
    prompts = [turn.body["prompt"] for turn in turns(workload, 60)]
    assert len({tuple(prompt[:40]) for prompt in prompts}) == 3
    assert len({tuple(prompt[40:]) for prompt in prompts}) == 60
    assert {len(prompt) for prompt in prompts} == {56}


def test_a_seed_repeats_and_another_differs() -> None:
    workload = RandomPrompts(input_tokens=16, output_tokens=4)
    assert turns(workload, seed="a") == turns(workload, seed="a")
    assert not {str(t.body["prompt"]) for t in turns(workload, seed="a")} & {
        str(t.body["prompt"]) for t in turns(workload, seed="b")
    }


def test_other_forms_for_servers_that_take_no_ids() -> None:
    text = turns(RandomPrompts(input_tokens=5, output_tokens=4, form="text", ignore_eos=False))[0]
    assert len(text.body["prompt"].split()) == 5
    assert "ignore_eos" not in text.body
    chat = turns(RandomPrompts(input_tokens=5, output_tokens=4, form="chat"))[0]
    assert chat.path == "chat/completions"
    assert len(chat.body["messages"][0]["content"].split()) == 5
