"""What number formats of the weights do to a model's predictions: agreement with float32 on real prompts.

python results/benchmarks/2026-11-28-precision/measure.py [MODEL …]    (writes MODEL.json, and README.md of all of them)

The prompts are 200 of BFCL's questions, rendered by the model's own template. The reference has the file's weights in
float32. At the last 24 places of each prompt, up to where the answer begins, a format's prediction of the next token is
compared with the reference's: whether the most probable token is the same, and the KL divergence of the format from the
reference, in nats. The models and BFCL must be pulled.
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
PLACES = 24
README = """# What number formats do to predictions

Written by `python results/benchmarks/2026-11-28-precision/measure.py`; all figures are in the JSON files beside it.
The prompts are {prompts} of BFCL's questions in the model's own template. The reference has the file's weights in
float32. At the last {places} places of each prompt, `same token` is the share at which the most probable next token is
the reference's, with a 95 % interval over prompts (normal), and `KL` the mean divergence from the reference, in nats.
`none` is bfloat16. {machine}.

| model | file | `quantization` | weights read a step | same token | KL |
|---|---|---|---:|---:|---:|
{rows}
"""


def prompts(checkpoint: Checkpoint) -> Iterator[list[int]]:
    tokenizer = checkpoint.tokenizer
    template = ChatTemplate(tokenizer.chat_template, bos_token=tokenizer.bos_token)
    for case in load_suite(ROOT / "suites/bfcl_simple").cases[:PROMPTS]:
        yield tokenizer.encode(template.render([dict(message) for message in case.messages]))


def model(checkpoint: Checkpoint, dtype: str, quantization: Quantization) -> Forward:
    precision = choose_precision(dtype, "cpu", quantization, "float32")
    return Forward.of(checkpoint, precision, compiled=True, memory_mb=300)


def measure(name: str) -> dict[str, Any]:
    checkpoint = load_checkpoint(resolve_model(name))
    texts = list(prompts(checkpoint))
    expected = predictions(model(checkpoint, "float32", "none"), texts)
    found: dict[str, Any] = {}
    for format in FORMATS:
        tried = model(checkpoint, "auto", format)
        rows = [compared(ours, wanted) for ours, wanted in zip(predictions(tried, texts), expected, strict=True)]
        found[format] = {"bytes_per_step": tried.model.weight_bytes_per_step, "prompts": rows}
        print(name, format, summary(rows), flush=True)
        del tried
    return {"model": name, "file": resolve_model(name).name, "environment": provenance(ROOT), "formats": found}


def predictions(tried: Forward, texts: list[list[int]]) -> list[torch.Tensor]:
    """Log probabilities [PLACES, vocab] after the last places of each text."""
    return [tried.logits([text], [len(text)])[0][-PLACES:].log_softmax(-1) for text in texts]


def compared(found: torch.Tensor, wanted: torch.Tensor) -> dict[str, float]:
    divergence = (wanted.exp() * (wanted - found)).sum(-1)
    same = found.argmax(-1) == wanted.argmax(-1)
    return {"same": float(same.float().mean()), "kl": float(divergence.mean())}


def summary(rows: list[dict[str, float]]) -> tuple[float, float, float]:
    """The share of equal tokens, half of its 95 % interval, and the mean divergence."""
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
            rows.append(f"| {figure['model']} | {figure['file']} | {format} | {step} | {shares} |")
    facts = figures[0]["environment"]
    machine = f"{facts['cpus']} cores of {facts['cpu']}"
    return README.format(prompts=PROMPTS, places=PLACES, machine=machine, rows="\n".join(rows))


if __name__ == "__main__":
    for each in sys.argv[1:] or MODELS:
        (HERE / f"{each}.json").write_text(json.dumps(measure(each), indent=1))
        (HERE / "README.md").write_text(page())
