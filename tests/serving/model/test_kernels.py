"""The compiled linear layers, compared with float64, in every format and with every fused input."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model.kernels.library import kernels
from serving.model.kernels.linear import (
    Format,
    FusedInput,
    PackedLinear,
    pack,
    quantize_int4,
    quantize_int8,
    rounded_int4,
    rounded_int8,
)
from serving.model.weights import GROUP

pytestmark = pytest.mark.skipif(kernels() is None, reason="no C++ compiler")

EPS = 1e-5
HALVES = {Format.BFLOAT16: torch.bfloat16, Format.FLOAT16: torch.float16}
STEPS = {Format.INT8: 16383, Format.INT4: 127}  # the largest rounded activation
few = settings(max_examples=60, deadline=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A layer, its input, and the output to which the result is added."""

    layer: PackedLinear
    format: Format
    fused_input: FusedInput
    weight: torch.Tensor
    bias: torch.Tensor | None
    norm: torch.Tensor
    x: torch.Tensor
    residual: torch.Tensor

    def input(self) -> torch.Tensor:
        """[rows, in_features] float64, after the fused input."""
        x = self.x.double()
        if self.fused_input is FusedInput.NONE:
            return x
        if self.fused_input is FusedInput.RMS_NORM:
            return F.rms_norm(x, (x.shape[1],), self.norm.double(), EPS)
        gate, up = x.chunk(2, dim=1)
        return (F.silu(gate) if self.fused_input is FusedInput.SILU_GATE else F.gelu(gate, approximate="tanh")) * up

    def stored(self) -> torch.Tensor:
        """The weights rounded to the format, float64."""
        if self.format in HALVES:
            return self.weight.to(HALVES[self.format]).double()
        if self.format is Format.FLOAT32:
            return self.weight.double()
        return (rounded_int8 if self.format is Format.INT8 else rounded_int4)(self.weight).double()

    def expected(self) -> torch.Tensor:
        return F.linear(self.input(), self.stored(), None if self.bias is None else self.bias.double())

    def tolerance(self) -> torch.Tensor:
        """The tolerance [rows, out_features]: float32's rounding, and half a step of each rounded activation."""
        x, magnitudes = self.input().abs(), self.stored().abs()
        rounding = 1e-5 * F.linear(x, magnitudes) + 1e-5
        if self.format not in STEPS:
            return rounding
        groups = x.view(len(x), -1, GROUP)
        half_steps = (groups.amax(-1, keepdim=True) / STEPS[self.format] / 2).expand_as(groups)
        # An INT4 weight is value * scale + minimum: both terms are multiplied by rounded activations.
        return rounding + 1.001 * F.linear(half_steps.reshape(x.shape), magnitudes)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    format, fused_input = draw(st.sampled_from(Format)), draw(st.sampled_from(FusedInput))
    rows, outs = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    ins = GROUP * draw(st.integers(1, 6)) if format in STEPS else draw(st.integers(1, 100))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    weight, bias, norm = random(outs, ins) * 0.3, random(outs) if draw(st.booleans()) else None, random(ins)
    normed = fused_input is FusedInput.RMS_NORM
    gated = fused_input in (FusedInput.SILU_GATE, FusedInput.GELU_GATE)
    return Problem(
        layer=PackedLinear(weight, bias, format, fused_input, norm if normed else None, EPS if normed else 0.0),
        format=format,
        fused_input=fused_input,
        weight=weight,
        bias=bias,
        norm=norm,
        x=random(rows, ins * (2 if gated else 1)) * draw(st.sampled_from([1.0, 1e-3, 30.0])),
        residual=random(rows, outs),
    )


@few
@given(problems())
def test_the_product_is_that_of_the_rounded_weights(problem: Problem) -> None:
    error = (problem.layer(problem.x).double() - problem.expected()).abs()
    assert bool((error <= problem.tolerance()).all()), float((error / problem.tolerance()).max())


@few
@given(problems())
def test_the_product_is_added_to_the_output(problem: Problem) -> None:
    out = problem.residual.clone()
    assert problem.layer(problem.x, out=out) is out
    torch.testing.assert_close(out, problem.residual + problem.layer(problem.x))


@few
@given(problems(), st.data())
def test_a_row_does_not_depend_on_the_others(problem: Problem, data: st.DataObject) -> None:
    together = problem.layer(problem.x)
    first = data.draw(st.integers(0, len(problem.x) - 1))
    last = data.draw(st.integers(first + 1, len(problem.x)))
    assert torch.equal(problem.layer(problem.x[first:last]), together[first:last])
    alone = torch.cat([problem.layer(row.unsqueeze(0)) for row in problem.x])
    assert torch.equal(alone, together)


@pytest.mark.parametrize("format", Format)
def test_rows_do_not_depend_on_each_other_in_a_wide_layer(format: Format) -> None:
    torch.manual_seed(0)
    layer = PackedLinear(torch.randn(1000, 576) * 0.1, None, format, FusedInput.RMS_NORM, torch.randn(576), EPS)
    x = torch.randn(130, 576)
    together = layer(x)
    for rows in (1, 2, 3, 5, 7, 64):
        assert torch.equal(torch.cat([layer(part) for part in torch.split(x, rows)]), together)


@pytest.mark.parametrize("format", Format)
def test_rows_may_have_a_stride(format: Format) -> None:
    wide = torch.randn(5, 96)
    layer = PackedLinear(torch.randn(7, 64), None, format)
    assert torch.equal(layer(wide[:, :64]), layer(wide[:, :64].contiguous()))


@pytest.mark.parametrize("format", Format)
def test_zeros_stay_zeros(format: Format) -> None:
    layer = PackedLinear(torch.zeros(5, 64), None, format)
    assert torch.equal(layer(torch.randn(3, 64)), torch.zeros(3, 5))
    assert torch.equal(PackedLinear(torch.randn(5, 64), None, format)(torch.zeros(3, 64)), torch.zeros(3, 5))


@pytest.mark.parametrize(
    ("format", "bits"), [("FLOAT32", 32), ("BFLOAT16", 16), ("FLOAT16", 16), ("INT8", 8.5), ("INT4", 5)]
)
def test_bits_per_weight(format: str, bits: float) -> None:
    assert pack(torch.randn(48, 64), Format[format]).nbytes == 48 * 64 * bits / 8
    assert pack(torch.randn(33, 64), Format[format]).nbytes == 48 * 64 * bits / 8, "up to whole panels"


halves = st.floats(2**-10, 1, width=16)


@few
@given(halves, st.integers(0, 2**31))
def test_weights_of_8_bits_are_reproduced(scale: float, seed: int) -> None:
    values = torch.randint(-127, 128, (20, GROUP), generator=torch.Generator().manual_seed(seed))
    values[:, seed % GROUP] = 127 if seed % 2 else -127
    weight = values * scale
    assert torch.equal(rounded_int8(weight), weight)
    assert torch.equal(quantize_int8(weight)[0], values.to(torch.int8))


@few
@given(halves, st.floats(-16, 16, width=16), st.integers(0, 2**31))
def test_weights_of_4_bits_are_reproduced(scale: float, minimum: float, seed: int) -> None:
    values = torch.randint(0, 16, (20, GROUP), generator=torch.Generator().manual_seed(seed))
    values[:, seed % GROUP], values[:, (seed + 1) % GROUP] = 0, 15
    weight = values * scale + minimum
    assert torch.equal(rounded_int4(weight), weight)
    assert torch.equal(quantize_int4(weight)[0], values.to(torch.uint8))


@few
@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_rounding_changes_a_weight_by_at_most_half_a_step(seed: int, magnitude: float) -> None:
    weight = torch.randn(20, 3 * GROUP, generator=torch.Generator().manual_seed(seed)) * magnitude
    groups = weight.view(20, 3, GROUP)
    eighth = groups.abs().amax(-1, keepdim=True) / 127
    fourth = (groups.amax(-1, keepdim=True) - groups.amin(-1, keepdim=True)) / 15
    for rounded, step in ((rounded_int8(weight), eighth), (rounded_int4(weight), fourth)):
        # The scale and the minimum are also rounded to float16.
        assert bool(((rounded.view_as(groups) - groups).abs() <= 0.55 * step + 1e-7).all())
