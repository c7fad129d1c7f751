"""The server's configuration: each option with its flag, default, check and help, and which options are lossless."""

import argparse
import difflib
import ipaddress
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo

from serving.model.kernels.library import LANES, kernels

SECRETS = frozenset(("api_key",))
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
LOSSLESS_KNOBS = frozenset(
    {
        "max_num_seqs",
        "max_num_batched_tokens",
        "chunked_prefill",
        "prefix_cache",
        "speculative",
        "num_speculative_tokens",
        "threads",
        "kv_cache_memory_mb",
    }
)
"""Those of an engine on the compiled kernels, whose sums do not depend on the batch a token is computed in."""


ToolCalls = Literal["auto", "strict", "off"]


class EngineConfig(BaseModel):
    """What the engine needs to know, and how its text is read; fixed for its lifetime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of the weights; auto is bfloat16. The CPU's kernels multiply them with float32 activations.",
    )
    quantization: Literal["auto", "none", "int8", "int4"] = Field(
        "none",
        description="Weights in groups of 32 with a scale each: int8 symmetric, int4 with a least value (embedding "
        "and head stay at 8 bits or more). Activations are rounded to 15 and 8 bits. auto: each tensor as the file "
        "has it, int4, int8 or unquantized; on CUDA it is none.",
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
    tool_calls: ToolCalls = Field(
        "auto",
        description="How calls are read from a text: strict where the model's tags are, auto also a JSON object on a "
        "line of its own that names an offered tool, off not at all.",
    )
    max_waiting: int = Field(1024, gt=0, description="Requests that may wait; one more is refused with 429.")


class HttpConfig(BaseModel):
    """The options of the HTTP server: where it listens, who may use it, and its bounds on clients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is for this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServingConfig(BaseModel):
    """The options of a server: the engine's, the model's, and the HTTP server's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: EngineConfig = EngineConfig()
    model: Path = Field(
        description="A .gguf file, a directory with safetensors, config.json and tokenizer.json, or a pulled model."
    )
    served_model_name: str = Field(
        "", description="The name clients use; by default a file's stem, or the directory's name."
    )
    http: HttpConfig = HttpConfig()


PARTS: Mapping[str, type[BaseModel]] = {"engine": EngineConfig, "http": HttpConfig}
"""The fields of `ServingConfig` that are groups of options: on the command line their options stand without a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    config: ServingConfig
    exit_with_parent: bool
    log_level: str


class UsageError(Exception):
    """A mistake on the command line, in one line."""


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises `UsageError`; exits for --help, as argparse does."""
    arguments_by_name = vars(_parser().parse_args(arguments))
    exit_with_parent, log_level = arguments_by_name.pop("exit_with_parent"), arguments_by_name.pop("log_level")
    settings = [_setting(text) for text in arguments_by_name.pop("set")]
    values = {key: value for key, value in arguments_by_name.items() if value is not None}
    if "api_key" in values:
        values["api_key"] = _secret(values["api_key"])
    return Options(config=_config(values | dict(settings)), exit_with_parent=exit_with_parent, log_level=log_level)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake like every other: in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving",
        description="Serve a model over OpenAI's HTTP API.",
        allow_abbrev=False,
    )
    own = {name: field for name, field in ServingConfig.model_fields.items() if name not in PARTS}
    for name, field in (own | HttpConfig.model_fields).items():
        _add(parser, name, field)
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set an engine knob; may be repeated"
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="die when standard input closes: the parent holds it as a pipe",
    )
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="warning", help="on standard error; default: %(default)s"
    )
    knobs = parser.add_argument_group("engine knobs", "each also as --set key=value, with underscores")
    for name, field in EngineConfig.model_fields.items():
        _add(knobs, name, field)
    return parser


def _add(group: argparse._ActionsContainer, name: str, field: FieldInfo) -> None:
    text = (field.description or "").replace("%", "%%")
    default = "" if field.is_required() or field.default in (None, "") else f" Default: {field.default}."
    group.add_argument(
        f"--{name.replace('_', '-')}",
        dest=name,
        metavar=_metavar(field),
        required=field.is_required(),
        help=f"{text}{default}",
    )


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "{" + ",".join(map(str, get_args(field.annotation))) + "}"
    types = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    names: Mapping[Any, str] = {int: "N", float: "SECONDS", bool: "{true,false}", SecretStr: "KEY|@FILE"}
    return names.get(types[0], "TEXT")


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write it as key=value")
    knobs = sorted(EngineConfig.model_fields)
    if key not in knobs:
        nearest = difflib.get_close_matches(key, knobs, n=len(knobs), cutoff=0.0)
        raise UsageError(f"--set {text}: no such knob {key!r}; the knobs, nearest first: {', '.join(nearest)}")
    return key, value


def _secret(text: str) -> str:
    """`@FILE` is the file's contents, without the line's end."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--api-key {text}: can't read the file: {error}") from None


def _config(values: Mapping[str, str]) -> ServingConfig:
    parts = {
        part: {name: values[name] for name in options.model_fields if name in values} for part, options in PARTS.items()
    }
    own = {name: value for name, value in values.items() if name in ServingConfig.model_fields}
    try:
        return ServingConfig.model_validate(own | parts)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(next(key for key in first["loc"] if key not in PARTS))
        value = "…" if name in SECRETS else first["input"]
        raise UsageError(f"{name}={value}: {first['msg']}") from None


def fail(message: str) -> NoReturn:
    """End with one line on standard error, and 2, as a command that was used wrongly."""
    print(f"serving: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def lossless_knobs(config: EngineConfig) -> frozenset[str]:
    """The lossless knobs of an engine with this configuration on this machine: all of the above, or none.

    PyTorch's products, on a CPU as on a GPU, add in an order that depends on the number of rows, so that any knob that
    changes a batch may change an answer there. They are used without a C++ compiler, with `compile` off, on CUDA, and
    for KV blocks or attention heads whose size is not a multiple of 16. Only the heads' size is not looked at here:
    the model's file has it.
    """
    on_cpu = config.device == "cpu" or (config.device == "auto" and not _may_have_cuda())
    aligned = config.block_size % LANES == 0
    return LOSSLESS_KNOBS if on_cpu and config.compile and aligned and kernels() is not None else frozenset()


def _may_have_cuda() -> bool:
    """Whether `device: auto` may be CUDA, without loading PyTorch."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
