"""`python -m serving --model PATH`."""

import sys
from collections.abc import Sequence

from serving.config import ServingConfig
from serving.http.browser_guard import is_loopback
from serving.http.listener import bind
from serving.lifeline import end_with_parent
from serving.options import UsageError, fail, parse_options
from serving.pulled import with_model_found


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
    if config.api_key is None and not config.open_access and not is_loopback(config.host):
        fail(
            f"--host {config.host}: others can reach the server there, and it has no key."
            " Give one with --api-key @FILE, or let anyone in with --open-access true"
        )
    _serve(config, options.log_level)


def _serve(config: ServingConfig, log_level: str) -> None:
    try:
        listener = bind(config.host, config.port)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        fail(f"can't listen on {where}: {error.strerror}; choose another --port (0 takes a free one)")

    # They import torch, which takes seconds: only once the port is ours.
    from serving.model.weights import ModelLoadError
    from serving.server import serve

    try:
        with listener:
            serve(config, listener=listener, log_level=log_level)
    except ModelLoadError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
