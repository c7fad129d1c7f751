"""The command `python -m serving --model PATH`.

It checks the options, opens the port, loads the model and serves it.
"""

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
        config = resolve_model(options.config)
    except UsageError as error:
        fail(str(error))
    http = config.http
    if http.api_key is None and not http.open_access and not is_loopback(http.host):
        fail(
            f"--host {http.host}: other machines can reach the server there, and it has no API key."
            " Set a key with --api-key @FILE, or allow everyone with --open-access true"
        )
    _serve(config, options.log_level)


def _serve(config: ServingConfig, log_level: str) -> None:
    from serving.http.server import bind  # a slow import, which --help does without

    try:
        listener = bind(config.http.host, config.http.port)
    except OSError as error:
        address = f"{config.http.host}:{config.http.port}"
        fail(f"can't listen on {address}: {error.strerror}; choose another --port (0 picks a free port)")

    from serving.core import ModelLoadError
    from serving.server import serve  # imports torch, which takes seconds; a port in use is reported before that

    try:
        with listener:
            serve(config, listener=listener, log_level=log_level)
    except ModelLoadError as error:
        fail(str(error))


def resolve_model(config: ServingConfig) -> ServingConfig:
    """Replace the name of a pulled model by the path of its file.

    The name also becomes `served_model_name`, unless that is set. Raises `UsageError`, which lists the pulled models,
    if `config.model` is neither an existing path nor a pulled model.
    """
    if config.model.exists():
        return config
    pulled = pulled_models()
    name = str(config.model)
    if name not in pulled:
        names = ", ".join(sorted(pulled)) or "none yet: agentbench pull smollm2-135m-instruct"
        raise UsageError(
            f"there is no model at {name}: --model takes a .gguf file, a directory, or a pulled model's name ({names})"
        )
    return config.model_copy(update={"model": pulled[name], "served_model_name": config.served_model_name or name})


def pulled_models() -> dict[str, Path]:
    """The file of each pulled model, by the model's name. Of several files the latest counts.

    `agentbench pull` stores verified files only, as `<cache>/<name>/<hash>/<file>.gguf`.
    """
    files = sorted(cache_directory().glob("*/*/*.gguf"), key=lambda file: file.stat().st_mtime)
    return {file.parent.parent.name: file for file in files}


if __name__ == "__main__":
    main()
