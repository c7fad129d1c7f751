"""The bundled inference server: a stand-alone, OpenAI-compatible engine in PyTorch.

Each name is imported on first use. Importing the configuration therefore does not import PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.config import EngineConfig, ServingConfig, lossless_knobs
    from serving.core import ModelLoadError, Request, SamplingParams, TokenDelta
    from serving.engine.engine import LLMEngine
    from serving.model.kernels.library import find_compiler
    from serving.server import serve

__all__ = [
    "EngineConfig",
    "LLMEngine",
    "ModelLoadError",
    "Request",
    "SamplingParams",
    "ServingConfig",
    "TokenDelta",
    "find_compiler",
    "lossless_knobs",
    "serve",
]

_NAMES_BY_MODULE = {
    "serving.config": ("EngineConfig", "ServingConfig", "lossless_knobs"),
    "serving.core": ("ModelLoadError", "Request", "SamplingParams", "TokenDelta"),
    "serving.engine.engine": ("LLMEngine",),
    "serving.model.kernels.library": ("find_compiler",),
    "serving.server": ("serve",),
}

if not TYPE_CHECKING:  # with __getattr__, a type checker would accept every name

    def __getattr__(name: str) -> object:
        for module, names in _NAMES_BY_MODULE.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
