"""Layers quantized by torchao: int8 runs on the CPU too, int4 needs a GPU (see test_cuda)."""

import importlib.util
import warnings
from collections.abc import Iterator

import pytest
import torch

from serving.core import ModelLoadError
from serving.model.fused_input import Gate, RMSNorm
from serving.model.precision import choose_precision
from serving.model.torchao_linear import TorchaoLinear

CPU = torch.device("cpu")
needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")


@pytest.fixture(autouse=True)
def _torchao_warns() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@needs_torchao
@pytest.mark.parametrize("rows", [1, 16, 17, 40])
@pytest.mark.parametrize("outputs", [96, 257])
@pytest.mark.parametrize("biased", [False, True])
@torch.inference_mode()
def test_an_int8_layer_computes_the_product_up_to_its_rounding(rows: int, outputs: int, biased: bool) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(outputs, 64), torch.randn(rows, 64, dtype=torch.bfloat16)
    bias = torch.randn(outputs, dtype=torch.bfloat16) if biased else None
    layer = TorchaoLinear(weight, bias, None, bits=8, device=CPU, dtype=torch.bfloat16)
    expected = x.float() @ weight.T + (0 if bias is None else bias.float())
    assert layer(x).shape == (rows, outputs)
    assert float((layer(x).float() - expected).abs().max()) < 0.05 * float(expected.abs().max())
    out = torch.ones(rows, outputs, dtype=torch.bfloat16)
    assert layer(x, out=out) is out
    torch.testing.assert_close(out, layer(x) + 1, atol=0.1, rtol=0.02)


@needs_torchao
@torch.inference_mode()
def test_the_fused_input_is_applied_before_the_product() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(32, 64), torch.randn(3, 128)
    norm, gate = RMSNorm(weight=torch.rand(64), eps=1e-6), Gate(activation="silu")
    plain, normed, gated = (
        TorchaoLinear(weight, None, fused_input, bits=8, device=CPU, dtype=torch.float32)
        for fused_input in (None, norm, gate)
    )
    assert torch.equal(normed(x[:, :64]), plain(norm(x[:, :64])))
    assert torch.equal(gated(x), plain(gate(x)))


@needs_torchao
@torch.inference_mode()
def test_the_product_equals_torchaos() -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(64, 96, bias=False), torch.randn(20, 64)
    ours = TorchaoLinear(layer.weight.float(), None, None, bits=8, device=CPU, dtype=torch.float32)(x)
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = torch.nn.Sequential(layer)
    quantize_(model, Int8DynamicActivationInt8WeightConfig(set_inductor_config=False))
    torch.testing.assert_close(ours, model(x), atol=1e-3, rtol=1e-3)


@needs_torchao
def test_the_weights_take_8_bits() -> None:
    layer = TorchaoLinear(torch.randn(96, 64), None, None, bits=8, device=CPU, dtype=torch.bfloat16)
    assert layer.num_parameters == 96 * 64
    assert 96 * 64 < layer.nbytes < 1.2 * 96 * 64


def test_without_torchao_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.model.torchao_linear.find_spec", lambda name: None)
    with pytest.raises(ModelLoadError, match=r"'int8' on device 'cuda' needs torchao; pip install torchao"):
        choose_precision("auto", "cuda", "int8")


def test_int4_on_a_gpu_needs_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.model.torchao_linear.find_spec", lambda name: object())
    with pytest.raises(ModelLoadError, match="needs dtype 'bfloat16'"):
        choose_precision("float16", "cuda", "int4")
