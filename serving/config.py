"""The server's configuration: every knob, its default, and which of them are lossless."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LOSSLESS_KNOBS = frozenset(
    {"max_num_seqs", "max_num_batched_tokens", "chunked_prefill", "threads", "block_size", "kv_cache_memory_mb"}
)
"""Knobs that may change speed, never greedy output."""


class EngineConfig(BaseModel):
    """What the engine needs to know, fixed for its lifetime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of the weights; auto is bfloat16. Activations are float32 on a CPU without bfloat16.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda where there is one.")
    max_model_len: int | None = Field(
        None, gt=0, description="Longest prompt and answer together, in tokens; the model's context by default."
    )
    max_num_seqs: int = Field(32, gt=0, description="Most sequences in one step.")
    max_num_batched_tokens: int = Field(1024, gt=0, description="Most tokens in one step, prefill and decode together.")
    chunked_prefill: bool = Field(
        True, description="Prefill a prompt in pieces when it is longer than what is left of the step's budget."
    )
    block_size: int = Field(16, gt=0, description="Token slots of a KV block.")
    kv_cache_memory_mb: int = Field(768, gt=0, description="Memory of the KV cache in MiB.")
    threads: int = Field(0, ge=0, description="CPU threads of the engine; 0 is all cores.")
    max_waiting: int = Field(1024, gt=0, description="Requests that may wait; one more is refused with 429.")


class ServingConfig(EngineConfig):
    """The engine's knobs and the HTTP server's."""

    model: Path = Field(description="A .gguf file or a directory with safetensors, config.json and tokenizer.json.")
    served_model_name: str = Field("", description="The name clients use; the file's or directory's stem by default.")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one.")
