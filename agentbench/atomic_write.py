"""Writes a file or a directory completely or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentbench.core.errors import UserError


@contextmanager
def atomic_write(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A path in a new directory beside `path`; its content replaces `path` at the end of the block.

    Nothing is left when the block raises. `UserError` when `path` exists (unless `force`) or can't be written.
    """
    if path.exists() and not force:
        raise UserError(f"{path} exists already; name another --out, or replace it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    try:
        draft = scratch / path.name
        yield draft
        if path.is_dir():  # a file is replaced in one step, a directory can't be
            if not draft.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            os.replace(path, scratch / "replaced")
        os.replace(draft, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
