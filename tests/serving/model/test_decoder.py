"""Every architecture computes what transformers computes: random weights, both file formats, every attention."""

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.core import ModelLoadError
from serving.model.compiled import CompiledDecoder
from serving.model.decoder import Decoder
from serving.model.kernels.library import kernels
from serving.model.kernels.linear import PackedLinear
from serving.model.layers import make_embedding
from serving.model.precision import choose_precision
from serving.model.weights import take
from tests.serving.checkpoint.gguf_models import write_gguf_model
from tests.serving.conftest import CheckpointMaker
from tests.serving.model.forward import Forward

PROMPTS = [list(range(7, 60)), [5], list(range(100, 117))]
PIECES = {"unsplit": [100], "chunked": [10, 10, 100], "one-by-one": [1] * 53}
# Dimensions that the compiled kernels and all formats support.
ALIGNED: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
GEMMA: dict[str, Any] = {
    **ALIGNED,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "num_key_value_heads": 1,
    "num_hidden_layers": 4,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
}
SCALED_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
LONG_ROPE = {
    "rope_type": "longrope",
    "factor": 4.0,
    "short_factor": [1.0, 1.1, 1.2, 1.4, 1.6, 2.0, 2.5, 3.0],
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 128,
}
PHI3 = {key: value for key, value in ALIGNED.items() if key != "head_dim"}
PHI3_LONG_ROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.2, 1.6, 2.5],
    "long_factor": [4.0] * 4,
    "partial_rotary_factor": 0.5,
}
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", ALIGNED),
    "llama-untied-bias": ("llama", {**ALIGNED, "tie_word_embeddings": False, "attention_bias": True}),
    "llama-all-biases": ("llama", {**ALIGNED, "attention_bias": True, "mlp_bias": True}),
    "llama-odd-sizes": ("llama", {"head_dim": 10, "hidden_size": 42, "intermediate_size": 75}),
    "llama-no-gqa-rope": ("llama", {**ALIGNED, "num_key_value_heads": 4, "rope_theta": 500000.0}),
    "llama-linear-rope": ("llama", {**ALIGNED, "rope_parameters": {"rope_type": "linear", "factor": 2.0}}),
    "llama-llama3-rope": ("llama", {**ALIGNED, "rope_parameters": LLAMA3_ROPE}),
    "llama-yarn-rope": ("llama", {**ALIGNED, "rope_parameters": YARN_ROPE}),
    "llama-long-rope": ("llama", {**ALIGNED, "rope_parameters": LONG_ROPE}),
    "llama-dynamic-rope": ("llama", {**ALIGNED, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}),
    "mistral": ("mistral", {**ALIGNED, "tie_word_embeddings": False}),
    "mistral-window": ("mistral", {**ALIGNED, "sliding_window": 8}),
    "phi3": ("phi3", PHI3),
    "phi3-untied-window": ("phi3", {**PHI3, "sliding_window": 8, "tie_word_embeddings": False}),
    "phi3-partial-rotary": ("phi3", {**PHI3, "rope_parameters": {"partial_rotary_factor": 0.5}}),
    "phi3-long-rope": ("phi3", {**PHI3, "original_max_position_embeddings": 128, "rope_parameters": PHI3_LONG_ROPE}),
    "qwen2": ("qwen2", {**ALIGNED, "head_dim": None, "tie_word_embeddings": False}),
    "qwen2-window": ("qwen2", {**ALIGNED, **QWEN_WINDOW}),
    "qwen3": ("qwen3", {**ALIGNED, "head_dim": 32}),
    "qwen3-untied-bias": ("qwen3", {**ALIGNED, "tie_word_embeddings": False, "attention_bias": True}),
    "gemma3": ("gemma3", GEMMA),
    "gemma3-scaled-rope": ("gemma3", {**GEMMA, "rope_parameters": SCALED_ROPE}),
    "gemma3-pattern": ("gemma3", {**GEMMA, "layer_types": None, "num_hidden_layers": 7}),
    "gemma3-scale-untied": ("gemma3", {**GEMMA, "query_pre_attn_scalar": 20, "tie_word_embeddings": False}),
}
WITHOUT_GGUF_KEYS = {"qwen2-window", "gemma3-scale-untied", "llama-long-rope"}
BACKENDS = ["eager", "compiled"]


@pytest.fixture(scope="session")
def directory_of(make_checkpoint: CheckpointMaker) -> Callable[[str], Path]:
    @cache
    def make(case: str) -> Path:
        architecture, overrides = CASES[case]
        return make_checkpoint(architecture, **{key: value for key, value in overrides.items() if value is not None})

    return make


@pytest.fixture(scope="session")
def reference_of(directory_of: Callable[[str], Path], transformers: Any) -> Callable[[str], Any]:
    @cache
    def load(case: str) -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(directory_of(case), dtype=torch.float32)

    return load


@pytest.fixture(params=BACKENDS)
def compiled(request: pytest.FixtureRequest) -> bool:
    if request.param == "compiled" and kernels() is None:
        pytest.skip("no C++ compiler")
    return bool(request.param == "compiled")


def forward(
    path: Path, *, compiled: bool, dtype: str = "float32", quantization: Any = "none", one_call: bool = True
) -> Forward:
    precision = choose_precision(dtype, "cpu", quantization, "float32", compiled=compiled)
    return Forward.of(load_checkpoint(path), precision, compiled=compiled, one_call=one_call)


@torch.inference_mode()
@pytest.mark.parametrize("case", CASES)
def test_logits_equal_transformers(
    case: str, compiled: bool, directory_of: Callable[[str], Path], reference_of: Callable[[str], Any]
) -> None:
    expected = [reference_of(case)(torch.tensor([prompt])).logits[0] for prompt in PROMPTS]
    model = forward(directory_of(case), compiled=compiled)
    for pieces in PIECES.values():
        for logits, reference in zip(model.logits(PROMPTS, pieces), expected, strict=True):
            torch.testing.assert_close(logits, reference, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3", "gemma3"])
def test_greedy_tokens_equal_transformers(
    case: str, compiled: bool, directory_of: Callable[[str], Path], reference_of: Callable[[str], Any]
) -> None:
    tokens = forward(directory_of(case), compiled=compiled).greedy(PROMPTS[2], 40)
    generated = reference_of(case).generate(
        torch.tensor([PROMPTS[2]]), max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert tokens == generated[0, len(PROMPTS[2]) :].tolist()


@pytest.mark.parametrize("case", sorted(set(CASES) - WITHOUT_GGUF_KEYS))
def test_logits_of_a_gguf_file_equal_transformers(
    case: str, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = directory_of(case)
    expected = forward(directory, compiled=False).logits(PROMPTS, [100])
    converted = forward(write_gguf_model(directory, tmp_path / "model.gguf"), compiled=False)
    for logits, same in zip(converted.logits(PROMPTS, [100]), expected, strict=True):
        tolerance = 1e-4 if case == "llama-llama3-rope" else 1e-5  # that format's factors are rounded
        torch.testing.assert_close(logits, same, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("kind", "tolerance"), [("Q8_0", 0.05), ("Q4_1", 0.6), ("BF16", 0.05)])
def test_logits_of_a_quantized_gguf_file_are_close(
    kind: str, tolerance: float, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write_gguf_model(directory_of("qwen3"), tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind])
    exact = forward(directory_of("qwen3"), compiled=False).logits(PROMPTS, [100])
    for logits, expected in zip(forward(path, compiled=False).logits(PROMPTS, [100]), exact, strict=True):
        assert error(logits, expected) < tolerance


@pytest.mark.parametrize("case", ["llama", "llama-untied-bias", "qwen3", "gemma3"])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "BF16", "F16", "F32"])
def test_automatic_quantization_uses_the_files_weights(
    case: str, kind: str, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """The embedding and the head included. The head of a 4-bit file is int8, as with quantization int4."""
    path = write_gguf_model(directory_of(case), tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind])
    exact = forward(path, compiled=False).logits(PROMPTS, [100])
    stored = forward(path, compiled=False, dtype="auto", quantization="auto").logits(PROMPTS, [100])
    for logits, expected in zip(stored, exact, strict=True):
        assert error(logits, expected) < (0.02 if kind.startswith("Q4") else 2e-4)


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("Q4_1", 0.1), ("Q8_0", 2e-3), ("BF16", 2e-4), ("F16", 2e-4), ("F32", 2e-4)]
)
@pytest.mark.parametrize("case", ["llama", "qwen2", "gemma3"])
def test_kernels_compute_with_the_files_weights(
    case: str, kind: str, tolerance: float, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write_gguf_model(directory_of(case), tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind])
    expected = forward(path, compiled=False, dtype="auto", quantization="auto").logits(PROMPTS, [100])
    model = forward(path, compiled=True, dtype="auto", quantization="auto")
    unsplit = model.logits(PROMPTS, [100])
    for logits, reference in zip(unsplit, expected, strict=True):
        assert error(logits, reference) < tolerance
    assert all(map(torch.equal, model.logits(PROMPTS, [3] * 20), unsplit)), "the same bits however prompts are split"


@pytest.mark.parametrize("quantization", ["auto", "none"])
def test_a_configured_type_applies_to_weights_that_are_not_quantized(
    quantization: str, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write_gguf_model(directory_of("llama"), tmp_path / "model.gguf", gguf.GGMLQuantizationType.F32)
    rounded = forward(path, compiled=False, dtype="float16", quantization="none").logits(PROMPTS, [100])
    found = forward(path, compiled=False, dtype="float16", quantization=quantization).logits(PROMPTS, [100])
    for logits, expected in zip(found, rounded, strict=True):
        assert error(logits, expected) < 2e-4


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
@pytest.mark.parametrize("case", ["llama-untied-bias", "qwen2-window", "qwen3"])
def test_one_call_for_all_layers_equals_one_call_per_layer(
    case: str, quantization: str, directory_of: Callable[[str], Path]
) -> None:
    single = forward(directory_of(case), compiled=True, dtype="bfloat16", quantization=quantization)
    layers = forward(directory_of(case), compiled=True, dtype="bfloat16", quantization=quantization, one_call=False)
    assert isinstance(single.model, CompiledDecoder)
    assert isinstance(layers.model, Decoder)
    for pieces in PIECES.values():
        for logits, expected in zip(single.logits(PROMPTS, pieces), layers.logits(PROMPTS, pieces), strict=True):
            assert torch.equal(logits, expected)


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize(("quantization", "tolerance"), [("int8", 2e-3), ("int4", 0.1)])
@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3", "gemma3"])
def test_quantized_kernels_are_close_to_dequantized_weights(
    case: str, quantization: str, tolerance: float, directory_of: Callable[[str], Path]
) -> None:
    """The weights are equal. The kernels also round activations, to 15 bits (int8) and 8 bits (int4)."""
    expected = forward(directory_of(case), compiled=False, quantization=quantization).logits(PROMPTS, [100])
    actual = forward(directory_of(case), compiled=True, quantization=quantization).logits(PROMPTS, [100])
    for logits, reference in zip(actual, expected, strict=True):
        assert error(logits, reference) < tolerance


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize(("case", "quantization"), list(product(["qwen3", "gemma3"], ["none", "int8", "int4"])))
def test_logits_are_the_same_bits_however_prompts_are_split(
    case: str, quantization: str, directory_of: Callable[[str], Path]
) -> None:
    model = forward(directory_of(case), compiled=True, dtype="bfloat16", quantization=quantization)
    unsplit = model.logits(PROMPTS, PIECES["unsplit"])
    for pieces in (PIECES["chunked"], PIECES["one-by-one"], [3] * 20):
        assert all(map(torch.equal, model.logits(PROMPTS, pieces), unsplit))
    alone = [model.logits([prompt], [100])[0] for prompt in PROMPTS]
    assert all(map(torch.equal, alone, unsplit))


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_logits_of_sixteen_bit_weights_are_close(
    dtype: str, tolerance: float, compiled: bool, directory_of: Callable[[str], Path]
) -> None:
    """On a CPU with bfloat16, PyTorch rounds activations too: the error is 0.067, without that 0.05."""
    exact = forward(directory_of("llama"), compiled=False).logits(PROMPTS, [100])
    rounded = forward(directory_of("llama"), compiled=compiled, dtype=dtype).logits(PROMPTS, [100])
    for logits, expected in zip(rounded, exact, strict=True):
        assert error(logits, expected) < tolerance


def test_a_tensor_of_the_wrong_shape_is_named(tiny_model: Path) -> None:
    weights = load_checkpoint(tiny_model).weights
    with pytest.raises(ModelLoadError, match=r"'model.norm.weight' has shape \(48,\).*\(49,\)"):
        take(weights, "model.norm.weight", 49)
    with pytest.raises(ModelLoadError, match=r"'model.other.weight' is missing"):
        take(weights, "model.other.weight", 49)


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The relative error over all logits."""
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_a_quantized_embedding_is_read_from_the_file(
    kind: str, scale: float, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """No copy of it is in memory: a vocabulary's table is a tenth of a small model."""
    path = write_gguf_model(directory_of("llama"), tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind])
    table = load_checkpoint(path).weights.matrix("model.embed_tokens.weight")
    embedding = make_embedding(table, choose_precision("auto", "cpu", "auto"), scale)
    token_ids = torch.tensor([3, 0, table.shape[0] - 1, 3])
    assert torch.equal(embedding(token_ids), table.rows(0, table.shape[0])[token_ids] * scale)
    assert not [value for value in vars(embedding).values() if isinstance(value, torch.Tensor)]


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
def test_the_head_is_never_in_memory_twice(
    directory_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is several times as large as a layer, so a second copy would be the peak of the memory during loading."""
    moved: list[int] = []
    monkeypatch.setattr(PackedLinear, "move_to", lambda layer, memory: moved.append(layer.out_features))
    path = write_gguf_model(directory_of("llama"), tmp_path / "model.gguf", gguf.GGMLQuantizationType.Q8_0)
    checkpoint = load_checkpoint(path)
    Forward.of(checkpoint, choose_precision("auto", "cpu", "auto"), compiled=True)
    assert moved
    assert checkpoint.config.vocab_size not in moved
