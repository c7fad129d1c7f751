"""Models for the tests: the real one, and tiny random ones that transformers saves."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

CheckpointMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def model_path() -> Path:
    """AGENTBENCH_TEST_MODEL, or the pulled default model; not having it is an error, not a skip."""
    override = os.environ.get("AGENTBENCH_TEST_MODEL")
    if override:
        return Path(override)
    from agentbench.hub import resolve_model

    return resolve_model("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def transformers() -> Any:
    """The reference implementation. Importing it warns about packages it would like to have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        return transformers


@pytest.fixture(scope="session")
def make_checkpoint(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> CheckpointMaker:
    """Saves a small random llama checkpoint with a tokenizer of one token a byte; returns its directory."""

    def make(**overrides: Any) -> Path:
        directory = tmp_path_factory.mktemp("checkpoint")
        model = _random_llama(transformers, overrides)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(directory)
        _byte_tokenizer().save(str(directory / "tokenizer.json"))
        (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
        return directory

    return make


@pytest.fixture(scope="session")
def tiny_model(make_checkpoint: CheckpointMaker) -> Path:
    return make_checkpoint()


def _random_llama(transformers: Any, overrides: dict[str, Any]) -> Any:
    settings = {
        "vocab_size": 257,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 256,
    }
    transformers.set_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(settings | overrides)))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    return model.eval()


def _byte_tokenizer() -> tokenizers.Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hf = tokenizers.Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens(["<|im_end|>"])
    return hf
