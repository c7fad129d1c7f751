"""What three models make of the bundled suites, spoken to with native tools and with a JSON schema.

python results/benchmarks/2026-11-28-suites/measure.py [SUITE …] [--models NAME …]

Writes figures.json and README.md next to it. Suites and models that are not named keep their figures; a cell that has
one is not run again: remove it from figures.json first. It needs `agentbench pull` of the three models and of bfcl.

Every run is greedy, with weights as the file has them (`serving.quantization: auto`), eight attempts at once. A suite
with a limit is a sample drawn by seed 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentbench.run.provenance import provenance

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct")
OUTPUTS = ("native_tools", "json_schema")
SUITES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "arithmetic": ("arithmetic", ()),
    "ledger": ("ledger", ()),
    "injection": ("injection", ()),
    "bfcl multiple": ("bfcl", ("--set", "dataset.category=multiple", "--limit", "40")),
    "bfcl parallel": ("bfcl", ("--set", "dataset.category=parallel", "--limit", "40")),
    "bfcl_multi_turn, first turn": ("bfcl_multi_turn", ("--set", "dataset.turns=1", "--limit", "16")),
    "bfcl_multi_turn": ("bfcl_multi_turn", ("--limit", "8")),
    "channel_digest": ("channel_digest", ("--limit", "12")),
}
"""The suite's directory and the arguments of its run, by the name in the table."""
KEPT = (
    *("accuracy", "accuracy_low", "accuracy_high", "attempts_right", "attempts_wrong", "attempts_failed"),
    *("attempts_planned", "failures", "scores", "suite_hash", "config_hash", "created_at", "finished_at"),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    chosen = parser.parse_args()
    stored = HERE / "figures.json"
    figures = json.loads(stored.read_text()) if stored.exists() else {"cells": {}}
    for suite in chosen.suites or SUITES:
        for model in chosen.models:
            for output in OUTPUTS:
                key = f"{suite} / {model} / {output}"
                if key not in figures["cells"]:
                    figures["cells"][key] = measured(suite, model, output)
                    print(key, figures["cells"][key]["accuracy"], flush=True)
                    figures["environment"] = provenance(ROOT)
                    stored.write_text(json.dumps(figures, indent=1, default=str) + "\n")
    (HERE / "README.md").write_text(readme(figures))


def measured(suite: str, model: str, output: str) -> dict[str, Any]:
    name, arguments = SUITES[suite]
    settings = {
        "serving.model": model,
        "serving.quantization": "auto",
        "agent.output": output,
        "run.concurrency": 8,
    }
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "agentbench", "run", f"suites/{name}", "--json", "--db", f"{folder}/runs.db"),
                *arguments,
                *(part for path, value in settings.items() for part in ("--set", f"{path}={value}")),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    if done.returncode not in (0, 1):
        sys.exit(f"{suite}, {model}, {output}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return {key: found[key] for key in KEPT}


def readme(figures: Mapping[str, Any]) -> str:
    rows = "\n".join(_rows(figures["cells"]))
    machine = figures["environment"]
    return f"""# What three models make of the bundled suites

Written by `python results/benchmarks/2026-11-28-suites/measure.py`; all figures are in figures.json. Greedy, weights as
the file has them (`serving.quantization: auto`), eight attempts at once. {machine["cpus"]} cores of {machine["cpu"]}.
A cell is the share of right attempts, with its 95 % interval, and the number of attempts. Where a scorer gives
parts, their mean follows.

{rows}
"""


def _rows(cells: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| suite | output | " + " | ".join(f"`{model}`" for model in MODELS) + " |"
    yield "|---|---|" + "---|" * len(MODELS)
    for suite in SUITES:
        for output in OUTPUTS:
            found = [cells.get(f"{suite} / {model} / {output}") for model in MODELS]
            if any(found):
                yield f"| `{suite}` | `{output}` | " + " | ".join(map(_cell, found)) + " |"


def _cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not run"
    share, low, high = (100 * found[f"accuracy{part}"] for part in ("", "_low", "_high"))
    broken = f", {found['attempts_failed']} failed" if found["attempts_failed"] else ""
    means = "".join(f"; {name} {100 * each['value']:.0f} %" for name, each in found["scores"].items())
    return f"{share:.0f} % ({low:.0f} to {high:.0f}) of {found['attempts_planned']}{broken}{means}"


if __name__ == "__main__":
    main()
