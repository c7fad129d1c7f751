"""Compares the default model with transformers, which reads and dequantizes the same file with its own code."""

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.checkpoint.tokenizer import Tokenizer
from serving.core import SamplingParams
from serving.engine.engine import LLMEngine
from tests.serving.engine.test_engine import add, finish, load

pytestmark = [pytest.mark.model, pytest.mark.slow]

NEW_TOKENS = 32
GREEDY = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
_SENTENCES = (
    "The weather service reported {n} mm of rain in the northern valleys.",
    "Call get_current_weather with the city 'Ljubljana' and the unit 'celsius'.",
    '{{"name": "calculate_area", "parameters": {{"base": {n}, "height": 5}}}}',
    "She walked along the harbour, counting {n} boats before the fog came in.",
    "Find the roots of the quadratic equation with a = {n}, b = -3 and c = 2.",
    "def area(width: float, height: float) -> float:\n    return width * height",
    "Naïve café owners in Zürich paid €{n} for new signs — and it shows.",
)


def make_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """20 chat prompts of 20 to 400 tokens; their lengths form a geometric series."""
    rng = random.Random(1)
    return [make_prompt(tokenizer, rng, round(20 * 20 ** (index / 19))) for index in range(20)]


def make_prompt(tokenizer: Tokenizer, rng: random.Random, length: int) -> list[int]:
    text = "Continue this text."
    while len(tokenizer.encode(text)) < length - 10:
        text += " " + rng.choice(_SENTENCES).format(n=rng.randrange(1, 5000))
    body = tokenizer.encode(f"<|im_start|>user\n{text}")[: length - 5]
    return body + tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")


@pytest.fixture(scope="module")
def reference(model_path: Path, transformers: Any) -> Any:
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.from_pretrained(model_path.parent, gguf_file=model_path.name)
        model = transformers.LlamaForCausalLM(config).to(torch.float32)
        tensors = load_gguf_checkpoint(str(model_path), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert missing in ([], ["lm_head.weight"]), "the head is tied"
    assert unexpected == []
    model.tie_weights()
    return model.eval()


def greedy_choices(reference: Any, prompt: list[int], answer: list[int]) -> list[int]:
    """The reference's likeliest token at each position of `answer`, from the tokens before it.

    If all equal `answer`, then by induction the reference's greedy `generate` also gives `answer`. This needs one
    forward pass instead of one for each token.
    """
    with torch.inference_mode():
        logits = reference(torch.tensor([prompt + answer]), logits_to_keep=len(answer) + 1).logits[0]
    return list(logits[:-1].argmax(dim=-1).tolist())


def answers(engine: LLMEngine, prompts: list[list[int]], order: list[int]) -> list[list[int]]:
    results = {i: add(engine, prompts[i], GREEDY, name=str(i)) for i in order}
    finish(engine)
    return [results[i].token_ids for i in range(len(prompts))]


def test_greedy_tokens_equal_transformers(model_path: Path, reference: Any) -> None:
    engine = load(model_path, block_size=16, quantization="none")
    prompts = make_prompts(engine.tokenizer)
    alone = assert_alone_as_together(model_path, engine, prompts)
    chosen = [greedy_choices(reference, *pair) for pair in zip(prompts, alone, strict=True)]
    assert chosen == alone


def test_answers_in_the_files_own_precision_do_not_depend_on_the_batch(model_path: Path) -> None:
    engine = load(model_path, block_size=16, dtype="auto")
    assert engine.config.quantization == "auto"
    assert_alone_as_together(model_path, engine, make_prompts(engine.tokenizer))


def assert_alone_as_together(model_path: Path, engine: LLMEngine, prompts: list[list[int]]) -> list[list[int]]:
    """The answers to the prompts alone. They are the same all at once and in a small cache."""
    alone = [answers(engine, [prompt], [0])[0] for prompt in prompts]
    in_order = list(range(len(prompts)))
    assert answers(engine, prompts, in_order) == alone, "all at once"
    shuffled = random.Random(2).sample(in_order, len(in_order))
    knobs = {"max_num_batched_tokens": 96, "kv_cache_memory_mb": 64, "max_model_len": 1024}
    tight = LLMEngine.load(model_path, engine.config.model_copy(update=knobs))
    assert answers(tight, prompts, shuffled) == alone, "in another order, with chunked prefill and preemption"
    return alone


def test_token_ids_equal_transformers(model_path: Path, transformers: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.AutoTokenizer.from_pretrained(model_path.parent, gguf_file=model_path.name)
    ours = load(model_path).tokenizer
    texts = [sentence.format(n="many") for sentence in _SENTENCES]
    texts += ["<|im_start|>user\nHi there<|im_end|>\n", "  two  spaces\t\n\n", "日本語 🙂 don't I'll"]
    for text in texts:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
        assert ours.decode(ours.encode(text), skip_special=False) == text
