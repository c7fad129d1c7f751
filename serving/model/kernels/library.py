"""Compiles the C++ sources for this processor once, and loads the library."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from serving.environment import cache_directory

_LOG = logging.getLogger(__name__)
_SOURCES = Path(__file__).parent / "source"
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared")
_COMPILE_LIMIT_S = 120

LANES = 16
"""The attention kernel needs a block size and a head size that are multiples of this."""


@lru_cache(1)
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels; None without a C++ compiler and when compiling or loading fails. The log then has one
    warning."""
    compiler = find_compiler()
    if compiler is None:
        _LOG.warning("no C++ compiler (g++, clang++): the engine uses only PyTorch's operators, which is slower")
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        _LOG.warning("the kernels can't be compiled or loaded, PyTorch's operators are used: %s", _reason(error))
        return None


def find_compiler() -> str | None:
    """The path of the C++ compiler; None if there is none."""
    return shutil.which("g++") or shutil.which("clang++")


def _compiled(compiler: str) -> Path:
    """The library's path. It is compiled if the cache has none for these sources, this compiler and this processor."""
    library = cache_directory() / "kernels" / f"{_fingerprint(compiler)}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        _compile(compiler, library)
    return library


def _compile(compiler: str, library: Path) -> None:
    """Compiles atomically: servers that start at the same time write separate files, and the last one replaces the
    others."""
    with tempfile.TemporaryDirectory(dir=library.parent) as directory:
        output = Path(directory) / library.name
        sources = map(str, sorted(_SOURCES.glob("*.cpp")))
        command = [compiler, *_FLAGS, *sources, "-o", str(output)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_COMPILE_LIMIT_S)
        os.replace(output, library)


def _fingerprint(compiler: str) -> str:
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    digest.update("\0".join((*_FLAGS, version, _processor())).encode())
    return digest.hexdigest()[:20]


def _processor() -> str:
    """The processor's instruction sets, on which -march=native depends; its name if the system does not list them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr).strip().partition("\n")[0]
    return str(error)
