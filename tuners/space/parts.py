"""What a study's attempts are made of: see `agentbench.run.sources`."""

from collections.abc import Mapping
from typing import Any

from agentbench.run.sources import MadeOf, NamedFiles, graded_by
from agentbench.suite.config import as_mapping, canonical_hash
from agentbench.suite.suite import Suite
from tuners.space.configuration import Configuration

SEARCHED = ("baseline", "references", "space")
"""The keys of a study.yaml whose values get into configurations."""


def made_of(suite: Suite, document: Mapping[str, Any]) -> MadeOf:
    """Of the suite as its file has it, nothing of the study applied, and of all that the study may set."""
    parts = {**as_mapping(suite.config), **graded_by(suite)}
    files = NamedFiles(suite.root).of([parts, *(document.get(key) for key in SEARCHED)])
    return {**{name: canonical_hash(part) for name, part in parts.items()}, **files}


def answers_hash(configuration: Configuration, files: NamedFiles) -> str:
    """Of all that decides what an attempt answers and how that is graded, files included: studies that have the same
    one may share the answer."""
    suite = configuration.suite
    parts = graded_by(suite)
    return canonical_hash([configuration.answers, parts, files.of([as_mapping(suite.config), parts])])
