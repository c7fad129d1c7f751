"""Python objects by reference: `module:name`, or `file.py:name` beside the suite."""

import importlib
import importlib.util
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from agentbench.errors import UserError


def load_object(reference: str, root: Path, files: dict[Path, ModuleType], noun: str) -> Any:
    """The callable that `reference` names; `files` has those run already. `UserError` when there is none."""
    place, _, name = reference.rpartition(":")
    is_file = place.endswith(".py")
    if not place or not name or (place.startswith(".") and not is_file):
        raise UserError(f"tool {reference!r}: expected file.py:{noun} or module:{noun}")
    if is_file:
        path = (root / place).resolve()
        if path not in files:
            files[path] = _from_file(reference, path)
        module = files[path]
    else:
        module = _from_module(reference, place)
    found = getattr(module, name, None)
    if not callable(found):
        raise UserError(f"tool {reference!r}: {place} has no {noun} {name!r}")
    return found


def _from_module(reference: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A user's module runs here, and may raise anything.
    except (Exception, SystemExit) as error:
        raise UserError(f"tool {reference!r} can't be imported: {type(error).__name__}: {error}") from None


def _from_file(reference: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"tool {reference!r}: there is no file {path}")
    name = f"_agentbench_tools_{sha256(str(path).encode()).hexdigest()[:16]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses and type hints look their module up
    try:
        specification.loader.exec_module(module)
    # A user's file runs here, and may raise anything.
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"tool {reference!r}: {path} can't be run: {type(error).__name__}: {error}") from None
    return module
