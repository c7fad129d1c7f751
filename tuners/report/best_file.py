"""Writes best.yaml: the winner's configuration, for `agentbench run SUITE --config`."""

from pathlib import Path
from typing import Any

import yaml

from agentbench.atomic_write import atomic_write
from agentbench.suite.config import Component
from agentbench.suite.suite import Suite
from tuners.space.configuration import configured, split_workflow, workflow_of
from tuners.space.space import Settings
from tuners.verdict.verdict import Verdict

OTHER = "chat"
"""An agent that is no workflow; naming it resets the options of the agent before it."""

DIRECTORY = Path("results") / "studies"


def best_path(study: str) -> Path:
    return DIRECTORY / study / "best.yaml"


def write_best(study: str, baseline: Settings, verdict: Verdict, suite: Suite) -> Path:
    """Writes the baseline's settings with the winner's over them, and returns the file's path.

    `suite` is the study's suite with its own configuration.
    """
    path = best_path(study)
    settings = run_settings(suite, {**baseline, **verdict.settings})
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
    head = f"# Candidate {verdict.winner} of study {study}: {command_of(suite, path)}\n"
    with atomic_write(path, force=True) as draft:
        draft.write_text(head + text, encoding="utf-8")
    return path


def command_of(suite: Suite, path: Path) -> str:
    """The command that runs the suite with the file, from the current directory."""
    here = Path.cwd()
    root = suite.root.relative_to(here) if suite.root.is_relative_to(here) else suite.root
    return f"agentbench run {root} --config {path}"


def run_settings(suite: Suite, settings: Settings) -> dict[str, Any]:
    """The settings as a run takes them, by dotted path; with a workflow, they replace the whole agent."""
    of_workflow, others = split_workflow(settings)
    if workflow_of(of_workflow) is None:
        return others
    agent = configured(suite, settings).config.agent
    rest = {path: value for path, value in others.items() if path.split(".")[0] != "agent"}
    return {**_replacing(suite.config.agent, agent), **rest}


def _replacing(before: Component, agent: Component) -> dict[str, Any]:
    """Settings that replace the suite's agent completely: naming another agent first drops its options."""
    other = {"agent": OTHER} if before.name == agent.name else {}
    options = {f"agent.{key}": value for key, value in agent.options.items()}
    return {**other, "agent.name": agent.name, **options}
