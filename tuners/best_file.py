"""best.yaml: the winner's configuration, which `agentbench run SUITE --config` takes."""

from pathlib import Path

import yaml

from tuners.space import Settings
from tuners.verdict import Verdict

DIRECTORY = Path("results") / "studies"


def best_path(study: str) -> Path:
    return DIRECTORY / study / "best.yaml"


def write_best(study: str, baseline: Settings, verdict: Verdict, suite: Path) -> Path:
    """Writes the baseline's settings with the winner's over them, by dotted path."""
    path = best_path(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {**baseline, **verdict.settings}
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=100)
    head = f"# Candidate {verdict.winner} of study {study}: agentbench run {suite} --config {path}\n"
    path.write_text(head + text, encoding="utf-8")
    return path
