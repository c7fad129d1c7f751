"""`python -m serving --model PATH`: checks the options, opens the port, then loads the model and serves it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from serving.config import ServingConfig, UsageError, fail, is_loopback, parse_options
from serving.environment import cache_directory
from serving.lifeline import end_with_parent


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options = parse_options(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        fail(str(error))
    if options.exit_with_parent:
        end_with_parent()
    try:
        config = with_model_found(options.config)
    except UsageError as error:
        fail(str(error))
    http = config.http
    if http.api_key is None and not http.open_access and not is_loopback(http.host):
        fail(
            f"--host {http.host}: others can reach the server there, and it has no key."
            " Give one with --api-key @FILE, or let anyone in with --open-access true"
        )
    _serve(config, options.log_level)


def _serve(config: ServingConfig, log_level: str) -> None:
    from serving.http.server import bind  # it takes longer to import than --help may take

    try:
        listener = bind(config.http.host, config.http.port)
    except OSError as error:
        where = f"{config.http.host}:{config.http.port}"
        fail(f"can't listen on {where}: {error.strerror}; choose another --port (0 takes a free one)")

    from serving.core import ModelLoadError
    from serving.server import serve  # it imports torch, which takes seconds: only once the port is ours

    try:
        with listener:
            serve(config, listener=listener, log_level=log_level)
    except ModelLoadError as error:
        fail(str(error))


def with_model_found(config: ServingConfig) -> ServingConfig:
    """`config.model` as a path that is there; a pulled model's name is what clients call it, unless they are told
    otherwise. `UsageError` names the pulled ones."""
    if config.model.exists():
        return config
    found = pulled_models()
    name = str(config.model)
    if name not in found:
        names = ", ".join(sorted(found)) or "none yet: agentbench pull smollm2-135m-instruct"
        raise UsageError(
            f"there is no model at {name}: --model is a .gguf file, a directory, or a pulled model's name ({names})"
        )
    return config.model_copy(update={"model": found[name], "served_model_name": config.served_model_name or name})


def pulled_models() -> dict[str, Path]:
    """Name to file. What is there is complete and verified: `<cache>/<name>/<hash>/<file>.gguf`."""
    files = sorted(cache_directory().glob("*/*/*.gguf"), key=lambda file: file.stat().st_mtime)
    return {file.parent.parent.name: file for file in files}


if __name__ == "__main__":
    main()
