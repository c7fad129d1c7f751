"""The command line, made from the configuration's fields."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from serving.config import EngineConfig, ServingConfig

SECRETS = frozenset(("api_key",))
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


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
    given = vars(_parser().parse_args(arguments))
    exit_with_parent, log_level = given.pop("exit_with_parent"), given.pop("log_level")
    settings = [_setting(text) for text in given.pop("set")]
    values = {key: value for key, value in given.items() if value is not None}
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
    for name, field in ServingConfig.model_fields.items():
        if name not in EngineConfig.model_fields:
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
    try:
        return ServingConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"][:1]))
        value = "…" if name in SECRETS else first["input"]
        raise UsageError(f"{name}={value}: {first['msg']}") from None


def fail(message: str) -> NoReturn:
    """End with one line on standard error, and 2, as a command that was used wrongly."""
    print(f"serving: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)
