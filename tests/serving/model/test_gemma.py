"""A pulled Gemma gives the results of transformers, which reads and dequantizes the same file."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from agentbench.core.errors import UserError
from agentbench.hub import resolve_model
from serving.checkpoint.checkpoint import Checkpoint, load_checkpoint
from serving.model.precision import choose_precision
from tests.serving.model.forward import Forward

pytestmark = pytest.mark.slow

LENGTH = 700  # tokens, past the window of 512 that most layers have
QUESTION = "The capital of France is"


@pytest.fixture(scope="module")
def path() -> Path:
    """The tests can't pull it: a person must accept its terms."""
    try:
        return resolve_model("gemma3-270m")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def checkpoint(path: Path) -> Checkpoint:
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> Forward:
    return Forward.of(
        checkpoint, choose_precision("float32", "cpu"), compiled=True, max_len=LENGTH + 100, memory_mb=512
    )


@pytest.fixture(scope="module")
def reference(path: Path, transformers: Any) -> Any:
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        model = transformers.Gemma3ForCausalLM(config).to(torch.float32)
        tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert missing in ([], ["lm_head.weight"]), "the head is tied"
    assert unexpected == []
    model.tie_weights()
    return model.eval()


def test_token_ids_equal_transformers(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    assert tokenizer.vocab_size == checkpoint.config.vocab_size == 262144
    assert tokenizer.encode(QUESTION, add_special=True) == [2, 818, 5279, 529, 7001, 563]
    text = "def f(x):\n\n    return x  # naïve 日本語 🙂\t<table>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert {tokenizer.eos_token, tokenizer.decode([106], skip_special=False)} == {"<eos>", "<end_of_turn>"}
    assert tokenizer.eos_ids == {1, 106}


def test_logits_equal_transformers_beyond_the_window(checkpoint: Checkpoint, model: Forward, reference: Any) -> None:
    text = Path(__file__).parents[3].joinpath("README.md").read_text() * 3
    prompt = checkpoint.tokenizer.encode(text, add_special=True)[:LENGTH]
    with torch.inference_mode():
        expected = reference(torch.tensor([prompt])).logits[0]
    for pieces in ([LENGTH], [256, 256, 256]):
        (logits,) = model.logits([prompt], pieces)
        torch.testing.assert_close(logits, expected, atol=2e-3, rtol=1e-3)
        assert torch.equal(logits.argmax(-1), expected.argmax(-1))


def test_greedy_tokens_equal_transformers(checkpoint: Checkpoint, model: Forward, reference: Any) -> None:
    prompt = checkpoint.tokenizer.encode(QUESTION, add_special=True)
    tokens = model.greedy(prompt, 24)
    with torch.inference_mode():
        chosen = reference(torch.tensor([prompt + tokens[:-1]])).logits[0, len(prompt) - 1 :].argmax(-1)
    assert tokens == chosen.tolist()
    assert "France" in checkpoint.tokenizer.decode(tokens)


def test_paris_is_among_the_first_guesses(checkpoint: Checkpoint, model: Forward) -> None:
    prompt = checkpoint.tokenizer.encode(QUESTION, add_special=True)
    (logits,) = model.logits([prompt], [LENGTH])
    guesses = [checkpoint.tokenizer.decode([token]) for token in logits[-1].topk(5).indices.tolist()]
    assert " Paris" in guesses
