"""Compares a model's predictions with quantized weights to its predictions in float32, on real prompts.

python results/benchmarks/2026-11-28-precision/measure.py [MODEL[=PROMPTS] …]

It writes MODEL.json, and README.md of all models. The prompts are the first 200 questions (or PROMPTS) of BFCL in the
model's own template. The reference has the file's weights in float32. A format's predictions of the next token are
compared with the reference's at the last 24 positions of each prompt: is the most probable token the same, and what is
the KL divergence from the reference, in nats? The models and BFCL must be pulled.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))

from agentbench.hub import resolve_model  # noqa: E402
from agentbench.run.provenance import provenance  # noqa: E402
from agentbench.suite.suite import load_suite  # noqa: E402
from serving.checkpoint.checkpoint import Checkpoint, load_checkpoint  # noqa: E402
from serving.model.precision import Quantization, choose_precision  # noqa: E402
from serving.openai.prompt import ChatTemplate  # noqa: E402
from tests.serving.model.forward import Forward  # noqa: E402

MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct")
FORMATS: tuple[Quantization, ...] = ("none", "auto", "int8", "int4")
PROMPTS = 200
POSITIONS = 24
README = """# The effect of number formats on predictions

Written by `python results/benchmarks/2026-11-28-precision/measure.py`; all figures are in the JSON files next to it.
The prompts are the first questions of BFCL in the model's own template. The reference has the file's weights in
float32. Predictions are compared at the last {positions} positions of each prompt. `same token` is the share of
positions at which the most probable next token equals the reference's, with a 95 % interval over prompts (normal). `KL`
is the mean KL divergence from the reference, in nats. `none` is bfloat16. {machine}.

| model | file | prompts | `quantization` | weights read per step | same token | KL |
|---|---|---:|---|---:|---:|---:|
{rows}
"""


def prompts(checkpoint: Checkpoint, count: int) -> Iterator[list[int]]:
    tokenizer = checkpoint.tokenizer
    template = ChatTemplate(tokenizer.chat_template, bos_token=tokenizer.bos_token)
    for case in load_suite(ROOT / "suites/bfcl_simple").cases[:count]:
        yield tokenizer.encode(template.render([dict(message) for message in case.messages]))


def model(checkpoint: Checkpoint, dtype: str, quantization: Quantization) -> Forward:
    precision = choose_precision(dtype, "cpu", quantization, "float32")
    return Forward.of(checkpoint, precision, compiled=True, memory_mb=300)


def measure(name: str, count: int) -> dict[str, Any]:
    checkpoint = load_checkpoint(resolve_model(name))
    texts = list(prompts(checkpoint, count))
    expected = predictions(model(checkpoint, "float32", "none"), texts)
    found: dict[str, Any] = {}
    for format in FORMATS:
        quantized = model(checkpoint, "auto", format)
        rows = [
            compare(each, reference) for each, reference in zip(predictions(quantized, texts), expected, strict=True)
        ]
        found[format] = {"bytes_per_step": quantized.model.weight_bytes_per_step, "prompts": rows}
        print(name, format, summary(rows), flush=True)
        del quantized
    return {"model": name, "file": resolve_model(name).name, "environment": provenance(ROOT), "formats": found}


def predictions(forward: Forward, texts: list[list[int]]) -> list[torch.Tensor]:
    """Log probabilities [POSITIONS, vocab] of the token after each of a text's last positions."""
    return [forward.logits([text], [len(text)])[0][-POSITIONS:].log_softmax(-1) for text in texts]


def compare(found: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    divergence = (reference.exp() * (reference - found)).sum(-1)
    same = found.argmax(-1) == reference.argmax(-1)
    return {"same": float(same.float().mean()), "kl": float(divergence.mean())}


def summary(rows: list[dict[str, float]]) -> tuple[float, float, float]:
    """The share of equal tokens, half the width of its 95 % interval, and the mean divergence."""
    same = torch.tensor([row["same"] for row in rows])
    half = 1.96 * float(same.std()) / math.sqrt(len(rows))
    return float(same.mean()), half, sum(row["kl"] for row in rows) / len(rows)


def page() -> str:
    rows = []
    figures = [json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))]
    for figure in sorted(figures, key=lambda each: MODELS.index(each["model"])):
        for format, found in figure["formats"].items():
            same, half, divergence = summary(found["prompts"])
            step = f"{found['bytes_per_step'] / 1e6:,.0f} MB"
            shares = f"{same:.1%} ± {half:.1%} | {divergence:.5f}"
            rows.append(
                f"| {figure['model']} | {figure['file']} | {len(found['prompts'])} | {format} | {step} | {shares} |"
            )
    facts = figures[0]["environment"]
    machine = f"{facts['cpus']} cores of {facts['cpu']}"
    return README.format(positions=POSITIONS, machine=machine, rows="\n".join(rows))


if __name__ == "__main__":
    for argument in sys.argv[1:] or MODELS:
        model_name, _, number = argument.partition("=")
        (HERE / f"{model_name}.json").write_text(json.dumps(measure(model_name, int(number or PROMPTS)), indent=1))
        (HERE / "README.md").write_text(page())
