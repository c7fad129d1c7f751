"""Small random models of each architecture, created and saved by transformers."""

import warnings
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

CLASSES = {
    "llama": "Llama",
    "mistral": "Mistral",
    "phi3": "Phi3",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "gemma3": "Gemma3",
}


def random_model(transformers: Any, architecture: str, overrides: dict[str, Any]) -> Any:
    """A float32 model whose weights are large enough that every part affects the logits."""
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
        "pad_token_id": None,
    }
    name = CLASSES[architecture]
    config = getattr(transformers, f"{name}TextConfig" if architecture == "gemma3" else f"{name}Config")
    transformers.set_seed(0)
    model = getattr(transformers, f"{name}ForCausalLM")(config(**(settings | overrides)))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
        if "norm" in name:
            parameter.data += parameter.data.clone().normal_() * 0.2
    return model.eval()


def save_checkpoint(model: Any, directory: Path) -> None:
    """Saves the model with a tokenizer that has one token per byte."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(directory)
    byte_tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')


def byte_tokenizer() -> tokenizers.Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hf = tokenizers.Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens(["<|im_end|>"])
    return hf
