"""AWQ and GPTQ checkpoints have the weights of the published formula, and transformers' logits for these weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serving.checkpoint.checkpoint import load_checkpoint
from serving.checkpoint.int4_matrix import int4_layout
from serving.core import ModelLoadError
from serving.model.kernels.library import kernels
from serving.model.kernels.linear import Format, PackedLinear
from serving.model.precision import choose_precision
from serving.model.weights import Int4Groups, Matrix, StackedMatrix
from tests.serving.checkpoint.int4_checkpoints import as_torch, quantized, write_int4
from tests.serving.conftest import CheckpointMaker
from tests.serving.model.forward import Forward

AWQ = {"quant_method": "awq", "version": "gemm", "bits": 4, "group_size": 32, "zero_point": True}
GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 64,
    "sym": True,
    "desc_act": False,
    "checkpoint_format": "gptq",
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "awq": AWQ,
    "awq-64": {**AWQ, "group_size": 64},
    "gptq-sym": GPTQ,
    "gptq-asymmetric": {**GPTQ, "sym": False},
    "gptq-v2": {**GPTQ, "sym": False, "checkpoint_format": "gptq_v2", "group_size": 32},
    "gptq-one-group": {**GPTQ, "sym": False, "group_size": -1},
}
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
}
PROMPT = list(range(7, 60))


def matrix_and_weight(
    about: dict[str, Any], *, rows: int = 48, columns: int = 192, act_order: bool = False
) -> tuple[Matrix, torch.Tensor]:
    random = np.random.default_rng(1)
    size = columns if about["group_size"] == -1 else about["group_size"]
    dense = random.normal(size=(rows, columns)).astype(np.float32)
    tensors, weight = quantized(dense, about, size, random, act_order=act_order)
    layout = int4_layout(Path("config.json"), {"quantization_config": about})
    assert layout is not None
    found = as_torch(tensors)
    return layout.matrix("x", found.__getitem__, found), torch.from_numpy(weight)


def values_of(found: Int4Groups) -> torch.Tensor:
    return ((found.values + found.minimum.float().unsqueeze(-1)) * found.scale.float().unsqueeze(-1)).flatten(1)


@pytest.mark.parametrize("about", LAYOUTS.values(), ids=LAYOUTS)
def test_rows_and_groups_are_the_formulas_values_exactly(about: dict[str, Any]) -> None:
    matrix, weight = matrix_and_weight(about)
    assert matrix.storage_format == "int4_zero_point"
    for begin, end in ((0, 48), (3, 29), (40, 41)):
        assert torch.equal(matrix.rows(begin, end), weight[begin:end])
        assert torch.equal(values_of(matrix.int4_rows(begin, end)), weight[begin:end])
    stacked = StackedMatrix([matrix, matrix])
    assert stacked.storage_format == "int4_zero_point"
    assert torch.equal(values_of(stacked.int4_rows(40, 60)), torch.cat([weight[40:], weight[:12]]))


@pytest.mark.skipif(kernels() is None, reason="no C++ compiler")
@pytest.mark.parametrize("about", LAYOUTS.values(), ids=LAYOUTS)
def test_the_kernel_multiplies_the_files_weights(about: dict[str, Any]) -> None:
    """The inputs are rows of 127 times the identity, which are not rounded: the products are the weights."""
    matrix, weight = matrix_and_weight(about)
    products = PackedLinear(matrix, None, Format.INT4)(torch.eye(192) * 127)
    torch.testing.assert_close(products, weight.T * 127, rtol=1e-6, atol=1e-5)


def test_act_order_keeps_its_values_in_the_scales_type() -> None:
    matrix, weight = matrix_and_weight({**GPTQ, "sym": False, "desc_act": True}, act_order=True)
    assert matrix.storage_format == "float16"
    assert torch.equal(matrix.rows(5, 20), weight[5:20])


@pytest.fixture(scope="module")
def models(make_checkpoint: CheckpointMaker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Of each layout and architecture: packed, and with the weights that the formula gives."""
    found = {}
    cases = [("awq", "llama", AWQ), ("gptq", "qwen2", LAYOUTS["gptq-asymmetric"]), ("awq-fused", "phi3", AWQ)]
    for name, architecture, about in [*cases, ("act-order", "llama", {**GPTQ, "desc_act": True})]:
        directory = make_checkpoint(architecture, **SIZES)
        packed, plain = (tmp_path_factory.mktemp(name) / kind for kind in ("packed", "plain"))
        write_int4(directory, packed, plain, about=about, act_order=name == "act-order")
        found[name] = packed, plain
    return found


def logits_of(path: Path, quantization: Any, dtype: str = "float32", *, compiled: bool = False) -> torch.Tensor:
    precision = choose_precision(dtype, "cpu", quantization, "float32", compiled=compiled)
    return Forward.of(load_checkpoint(path), precision, compiled=compiled).logits([PROMPT], [100])[0]


@pytest.mark.parametrize("name", ["awq", "gptq", "awq-fused", "act-order"])
def test_logits_equal_transformers(name: str, models: dict[str, tuple[Path, Path]], transformers: Any) -> None:
    packed, plain = models[name]
    reference = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    with torch.inference_mode():
        expected = reference(torch.tensor([PROMPT])).logits[0]
    torch.testing.assert_close(logits_of(packed, "none"), expected, atol=2e-4, rtol=2e-4)
    kept = logits_of(packed, "auto", "auto")
    assert error(kept, expected) < (2e-3 if name == "act-order" else 2e-4)
    if kernels() is not None:
        assert error(logits_of(packed, "auto", "auto", compiled=True), kept) < 0.1, "it rounds activations to 8 bits"


def test_widened_layers_are_one_warning(models: dict[str, tuple[Path, Path]], caplog: pytest.LogCaptureFixture) -> None:
    logits_of(models["act-order"][0], "auto")
    (record,) = caplog.records
    assert "int4 can't hold the 4-bit weights of model.layers.0.mlp.down_proj exactly" in record.message
    assert "Quantization auto uses float16 for such layers" in record.message


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"quant_method": "bitsandbytes"}, "quant_method 'bitsandbytes' is not supported, only 'awq' or 'gptq'"),
        ({**AWQ, "bits": 8}, "bits 8 is not supported, only 4"),
        ({**AWQ, "version": "gemv"}, "version 'gemv' is not supported, only 'gemm'"),
        ({**AWQ, "zero_point": False}, "zero_point False is not supported, only True"),
        ({**GPTQ, "checkpoint_format": "marlin"}, "checkpoint_format 'marlin' is not supported"),
        ({**GPTQ, "group_size": 0}, "group_size 0 is no group size"),
        (3, "quantization_config is 3; an object was expected"),
    ],
)
def test_another_layout_is_refused_in_one_line(about: Any, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        int4_layout(Path("config.json"), {"quantization_config": about})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"x.qweight": torch.zeros(3, dtype=torch.int32)},
        {"x.qweight": torch.zeros(24, 48)},
        {"x.qweight": torch.zeros(24, 40, dtype=torch.int32)},
        {"x.qzeros": torch.zeros(3, 5, dtype=torch.int32)},
        {"x.scales": torch.zeros(2, 48)},
        {"x.g_idx": torch.full((192,), 7, dtype=torch.int32)},
        {"x.g_idx": torch.zeros(191, dtype=torch.int32)},
    ],
)
def test_tensors_that_do_not_fit_together_name_the_layer(damage: dict[str, torch.Tensor]) -> None:
    random = np.random.default_rng(1)
    tensors, _ = quantized(random.normal(size=(48, 192)).astype(np.float32), GPTQ, 64, random, act_order=False)
    layout = int4_layout(Path("config.json"), {"quantization_config": GPTQ})
    assert layout is not None
    found = as_torch(tensors) | damage
    with pytest.raises(ModelLoadError, match=r"layer 'x': .* the file is inconsistent"):
        layout.matrix("x", found.__getitem__, found)


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The relative error over all logits."""
    return float((actual - expected).norm() / expected.norm())
