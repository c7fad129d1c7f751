"""The server's configuration: every option with its default, bounds and help text, and the list of lossless knobs."""

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
"""The knobs that never change an answer of the compiled kernels: their sums do not depend on the batch."""


ToolCalls = Literal["auto", "strict", "off"]


class EngineConfig(BaseModel):
    """The options of the engine, and how tool calls are read from its text. They are fixed for its lifetime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of the weights that are not quantized; auto is the file's with quantization auto, else "
        "bfloat16. The CPU kernels multiply them with float32 activations.",
    )
    quantization: Literal["auto", "none", "int8", "int4"] = Field(
        "auto",
        description="auto stores each tensor as the file does: int4, int8 or unquantized; on CUDA auto is none. none "
        "dequantizes all to dtype. int8 and int4 quantize weights in groups of 32, each with a scale: int8 is "
        "symmetric, int4 also stores each group's minimum (embedding and head keep at least 8 bits). Activations are "
        "rounded to 15 bits with int8 and to 8 bits with int4.",
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="Type of the keys and values in the KV cache; auto is dtype, or bfloat16."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda if there is a CUDA GPU, else cpu.")
    max_model_len: int | None = Field(
        None, gt=0, description="Maximum length of prompt plus answer, in tokens. Default: the model's context."
    )
    max_num_seqs: int = Field(32, gt=0, description="Maximum number of sequences in one step.")
    max_num_batched_tokens: int = Field(
        512, gt=0, description="Maximum number of tokens in one step, prefill and decode together."
    )
    chunked_prefill: bool = Field(
        True, description="Split the prefill of a prompt that exceeds the rest of the step's token budget."
    )
    prefix_cache: bool = Field(True, description="Reuse the KV blocks of a prefix that several prompts share.")
    speculative: Literal["none", "ngram"] = Field(
        "none",
        description="Draft the next tokens: ngram searches prompt and answer for an earlier occurrence of the last "
        "tokens, and copies the tokens after it.",
    )
    num_speculative_tokens: int = Field(4, gt=0, le=64, description="Maximum number of tokens in one draft.")
    forced_tokens: bool = Field(
        True, description="Append a token without a step of its own when the grammar allows no other."
    )
    compile: bool = Field(
        True,
        description="Use kernels that are compiled for this CPU on first use. Without g++, PyTorch's operators are "
        "used instead.",
    )
    cuda_graphs: bool = Field(True, description="On CUDA, launch the kernels of a decode step as one graph.")
    block_size: int = Field(16, gt=0, description="Number of tokens that a KV block holds.")
    kv_cache_memory_mb: int = Field(768, gt=0, description="Memory of the KV cache in MiB, in each process.")
    threads: int = Field(0, ge=0, description="CPU threads of each process; 0 divides all cores among the processes.")
    tensor_parallel_size: int = Field(
        1,
        gt=0,
        description="Number of processes that compute the model together. Each computes a part of every layer; on "
        "CUDA each has its own GPU.",
    )
    tool_calls: ToolCalls = Field(
        "auto",
        description="How tool calls are read from a text: strict reads the format of the model's chat template; auto "
        "also reads a JSON object on a line of its own that names an offered tool; off reads none.",
    )
    max_waiting: int = Field(1024, gt=0, description="Maximum number of waiting requests; further requests get 429.")


class HttpConfig(BaseModel):
    """The options of the HTTP server: its address, access control, and limits on clients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 picks a free port.")
    api_key: SecretStr | None = Field(
        None,
        description="Clients must send it as a bearer token. Prefer @FILE: other users can read a command line.",
    )
    open_access: bool = Field(
        False, description="Allow every client without a key, also on a host other than loopback."
    )
    max_body_bytes: int = Field(
        4 * 2**20, gt=0, description="Maximum size of a request's body; a larger body gets 413."
    )
    request_timeout_s: float = Field(60.0, gt=0, description="Maximum time for a request to arrive, in seconds.")
    slow_reader_timeout_s: float = Field(
        60.0, gt=0, description="Seconds after which a client that reads nothing of its answer is disconnected."
    )
    drain_s: float = Field(5.0, ge=0, description="Seconds that running requests may continue after a stop signal.")

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise ValueError("a key must be one or more printable ASCII characters without spaces")
        return key


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
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
        "", description="The model's name in the API. Default: the file's name without suffix, or the directory's name."
    )
    http: HttpConfig = HttpConfig()


OPTION_GROUPS: Mapping[str, type[BaseModel]] = {"engine": EngineConfig, "http": HttpConfig}
"""The fields of `ServingConfig` that are groups of options. The command line has the options without the groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed command line."""

    config: ServingConfig
    exit_with_parent: bool
    log_level: str


class UsageError(Exception):
    """The command line is wrong. The message is one line."""


def parse_options(arguments: Sequence[str]) -> Options:
    """Parse the command line. Raises `UsageError`; exits for --help, as argparse does."""
    arguments_by_name = vars(_parser().parse_args(arguments))
    exit_with_parent, log_level = arguments_by_name.pop("exit_with_parent"), arguments_by_name.pop("log_level")
    settings = [_parse_setting(text) for text in arguments_by_name.pop("set")]
    values = {key: value for key, value in arguments_by_name.items() if value is not None}
    if "api_key" in values:
        values["api_key"] = _read_secret(values["api_key"])
    config = _validate(values | dict(settings))
    return Options(config=config, exit_with_parent=exit_with_parent, log_level=log_level)


class _Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving",
        description="Serve a model over OpenAI's HTTP API.",
        allow_abbrev=False,
    )
    ungrouped = {name: field for name, field in ServingConfig.model_fields.items() if name not in OPTION_GROUPS}
    for name, field in (ungrouped | HttpConfig.model_fields).items():
        _add_option(parser, name, field)
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set an engine knob; may be repeated"
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="exit when standard input, a pipe from the parent process, closes",
    )
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="warning",
        help="level of the log on standard error; default: %(default)s",
    )
    knobs = parser.add_argument_group("engine knobs", "also accepted as --set key=value, with underscores in the key")
    for name, field in EngineConfig.model_fields.items():
        _add_option(knobs, name, field)
    return parser


def _add_option(group: argparse._ActionsContainer, name: str, field: FieldInfo) -> None:
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


def _parse_setting(text: str) -> tuple[str, str]:
    """Key and value of one --set."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write it as key=value")
    knobs = sorted(EngineConfig.model_fields)
    if key not in knobs:
        nearest = difflib.get_close_matches(key, knobs, n=len(knobs), cutoff=0.0)
        raise UsageError(f"--set {text}: no such knob {key!r}; the knobs, nearest first: {', '.join(nearest)}")
    return key, value


def _read_secret(text: str) -> str:
    """The text itself, or for `@FILE` the contents of the file without surrounding white space."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--api-key {text}: can't read the file: {error}") from None


def _validate(values: Mapping[str, str]) -> ServingConfig:
    """The configuration with these values, by option name. Raises `UsageError` for the first invalid value."""
    groups = {
        group: {name: values[name] for name in options.model_fields if name in values}
        for group, options in OPTION_GROUPS.items()
    }
    ungrouped = {name: value for name, value in values.items() if name in ServingConfig.model_fields}
    try:
        return ServingConfig.model_validate(ungrouped | groups)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(next(key for key in first["loc"] if key not in OPTION_GROUPS))
        value = "…" if name in SECRETS else first["input"]
        raise UsageError(f"{name}={value}: {first['msg']}") from None


def fail(message: str) -> NoReturn:
    """Print one line on standard error and exit with code 2."""
    print(f"serving: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def lossless_knobs(config: EngineConfig) -> frozenset[str]:
    """The lossless knobs of an engine with this configuration on this machine: `LOSSLESS_KNOBS`, or none.

    The order in which PyTorch's matrix products add depends on the number of rows, on CPU and GPU. With them, a knob
    that changes a batch may change an answer. PyTorch's products are used on CUDA, without a C++ compiler, with
    `compile` off, and if the size of a KV block or of an attention head is not a multiple of 16. This function does
    not check the size of the heads, since only the model's file has it.
    """
    on_cpu = config.device == "cpu" or (config.device == "auto" and not _may_have_cuda())
    aligned = config.block_size % LANES == 0
    return LOSSLESS_KNOBS if on_cpu and config.compile and aligned and kernels() is not None else frozenset()


def _may_have_cuda() -> bool:
    """Whether `device: auto` may choose CUDA. Does not import PyTorch."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
