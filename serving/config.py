"""The server's configuration: every knob and its default. `serving.lossless` says which change no answer."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class EngineConfig(BaseModel):
    """What the engine needs to know, fixed for its lifetime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of the weights; auto is bfloat16. The CPU's kernels multiply them with float32 activations.",
    )
    quantization: Literal["none", "int8", "int4"] = Field(
        "none",
        description="Weights in groups of 32 with a scale each: int8 symmetric, int4 with a least value (embedding "
        "and head stay at 8 bits or more). Activations are rounded to 15 and 8 bits.",
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Type of keys and values in the cache; auto is the type of the weights."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda where there is one.")
    max_model_len: int | None = Field(
        None, gt=0, description="Longest prompt and answer together, in tokens; the model's context by default."
    )
    max_num_seqs: int = Field(32, gt=0, description="Most sequences in one step.")
    max_num_batched_tokens: int = Field(512, gt=0, description="Most tokens in one step, prefill and decode together.")
    chunked_prefill: bool = Field(
        True, description="Prefill a prompt in pieces when it is longer than what is left of the step's budget."
    )
    prefix_cache: bool = Field(True, description="Compute a prefix that several prompts share once.")
    speculative: Literal["none", "ngram"] = Field(
        "none", description="Guess the next tokens: ngram looks for the last ones earlier in prompt and answer."
    )
    num_speculative_tokens: int = Field(4, gt=0, le=64, description="Most tokens guessed at a time.")
    forced_tokens: bool = Field(
        True, description="Append tokens that a grammar leaves no choice about without computing each in a step."
    )
    compile: bool = Field(
        True, description="Use kernels compiled for this CPU on first use (needs g++); else PyTorch's operators."
    )
    cuda_graphs: bool = Field(True, description="On CUDA, launch the kernels of a decode step as one graph.")
    block_size: int = Field(16, gt=0, description="Token slots of a KV block.")
    kv_cache_memory_mb: int = Field(768, gt=0, description="Memory of the KV cache in MiB, in each process.")
    threads: int = Field(0, ge=0, description="CPU threads of each process; 0 is all cores, shared among them.")
    tensor_parallel_size: int = Field(
        1,
        gt=0,
        description="Processes that compute the model together, each a part of every layer, on CUDA a GPU each.",
    )
    max_waiting: int = Field(1024, gt=0, description="Requests that may wait; one more is refused with 429.")


class ServingConfig(EngineConfig):
    """The engine's knobs and the HTTP server's."""

    model: Path = Field(
        description="A .gguf file, a directory with safetensors, config.json and tokenizer.json, or a pulled model."
    )
    served_model_name: str = Field(
        "", description="The name clients use; by default a file's stem, or the directory's name."
    )
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one.")
    api_key: SecretStr | None = Field(
        None,
        description="Clients must send it as a bearer token. Better as @FILE: a command line is there for all to see.",
    )
    open_access: bool = Field(
        False, description="Let anyone who reaches the address in without a key, on others than loopback too."
    )
    max_body_bytes: int = Field(4 * 2**20, gt=0, description="Largest body of a request; a larger one gets 413.")
    request_timeout_s: float = Field(60.0, gt=0, description="Longest time for a request to arrive, in seconds.")
    slow_reader_timeout_s: float = Field(
        60.0, gt=0, description="Seconds after which a client that reads nothing of its answer is dropped."
    )
    drain_s: float = Field(5.0, ge=0, description="Seconds that running requests have after a stop signal.")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise ValueError("a key is one or more printable ASCII characters without spaces")
        return key
