"""Imports a user's Python objects by reference: `package.module:name`, or `file.py:name`."""

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from agentbench.core.errors import did_you_mean

Files = MutableMapping[Path, ModuleType]
"""Files that were run, each once."""

_suite: ContextVar[Path | None] = ContextVar("agentbench_suite", default=None)


@contextmanager
def beside(root: Path) -> Iterator[None]:
    """References are resolved first in `root`, the directory of the suite that is read or built."""
    token = _suite.set(root)
    try:
        yield
    finally:
        _suite.reset(token)


def load_object(reference: str, noun: str = "function", files: Files | None = None) -> Any:
    """The callable that `reference` names: beside the suite, in the current directory, or in an installed package.

    `files` holds the files that ran already; without it, a file runs once in this process. `ValueError` describes the
    error, with file and line in the user's code.
    """
    place, _, name = reference.rpartition(":")
    is_file = place.endswith(".py")
    if not place or not name or (place.startswith(".") and not is_file):
        raise ValueError(f"expected file.py:{noun} or package.module:{noun}")
    if is_file:
        module = _file(_path(place), _files if files is None else files)
    else:
        module = _module(place, f"{place.split('.')[0]}.py:{name}")
    return _attribute(module, place, name, noun)


_files: dict[Path, ModuleType] = {}


def _attribute(module: ModuleType, place: str, name: str, noun: str) -> Any:
    try:
        found = reduce(getattr, name.split("."), module)
    except AttributeError:
        hint = did_you_mean(name, (each for each in dir(module) if not each.startswith("_")), most=2)
        raise ValueError(f"can't be imported: AttributeError: {place} has no {noun} {name!r}.{hint}") from None
    if not callable(found):
        raise ValueError(f"{place} has no {noun} {name!r}: it is a {type(found).__name__}, not a {noun}")
    return found


def _places() -> list[Path]:
    """The suite's directory and the one where the run starts."""
    root = _suite.get()
    places = [root.resolve()] if root is not None else []
    return list(dict.fromkeys([*places, Path.cwd()]))


_added: list[str] = []
"""The suites' of this process, the last one's first; they stay, since a function may import when it is called."""


def _path(name: str) -> Path:
    paths = [(place / name).resolve() for place in _places()]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ValueError(f"there is no file {' or '.join(map(str, dict.fromkeys(paths)))}")
    return found


def _file(path: Path, files: Files) -> ModuleType:
    if path in files:
        return files[path]
    kind = "files" if files is _files else "tools"
    name = f"_agentbench_{kind}_{sha256(str(path).encode()).hexdigest()[:16]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses and type hints look their module up
    try:
        with _importing():
            specification.loader.exec_module(module)
    except ValueError as error:
        del sys.modules[name]
        raise ValueError(f"{path} can't be run: {error}") from None
    files[path] = module
    return module


def _module(name: str, file: str) -> ModuleType:
    try:
        with _importing():
            module = importlib.import_module(name)
    except ValueError as error:
        missing = isinstance(error.__cause__, ModuleNotFoundError) and name.startswith(error.__cause__.name or "?")
        looked = f"; looked for in {' and '.join(map(str, _places()))} and among installed packages" if missing else ""
        hint = f": name its file ({file}), or install its package" if missing else ""
        raise ValueError(f"can't be imported: {error}{looked}{hint}") from None
    _check_origin(sys.modules[name.split(".")[0]], file)
    return module


@contextmanager
def _importing() -> Iterator[None]:
    """Runs a user's code, which may raise anything, and turns that into one `ValueError` with its place."""
    installed = [path for path in sys.path if path not in _added]
    own = [place for place in map(str, _places()) if place not in installed]
    _added[:] = dict.fromkeys([*own, *_added])
    sys.path[:] = [*installed, *_added]
    importlib.invalidate_caches()
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(located(error)) from error


def _check_origin(module: ModuleType, file: str) -> None:
    """Rejects a module of the same name that was imported from another suite."""
    root, origin = _suite.get(), getattr(module, "__file__", None)
    if root is None or origin is None or _is_library(origin):
        return
    own = [root / f"{module.__name__}.py", root / module.__name__ / "__init__.py"]
    if any(path.is_file() and path.resolve() != Path(origin).resolve() for path in own):
        raise ValueError(
            f"{module.__name__} is {origin}, imported before, not the one in {root}: name the file ({file})"
        )


def located(error: BaseException) -> str:
    """The error in one line, with the file and line of the innermost frame in the user's code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({_shown(error.filename)}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    place = f" ({_shown(own[-1].filename)}, line {own[-1].lineno})" if own else ""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ") + place


def _is_library(file: str) -> bool:
    """Whether a file belongs to Python or an installed package."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return file.startswith("<") or any(file.startswith(f"{library}/") for library in libraries)


def _shown(file: str) -> str:
    """A file's path, relative to the current directory when it is below that."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
