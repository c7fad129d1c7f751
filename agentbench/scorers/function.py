"""A function of the user's own, named `package.module:function` in a suite."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def imported(reference: str) -> Callable[..., Any]:
    """The function; `ValueError` says what is wrong with the reference, for a validator to pass on."""
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ValueError("expected package.module:function")
    try:
        function = getattr(import_module(module), name)
    # A user's module runs here, and may raise anything.
    except (Exception, SystemExit) as error:
        raise ValueError(f"can't be imported: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise ValueError(f"is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]
