"""`python -m serving --model PATH`."""

import sys
from collections.abc import Sequence

from serving.lifeline import end_with_parent
from serving.listener import bind
from serving.options import Options, UsageError, fail, parse_options


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        options = parse_options(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        fail(str(error))
    if options.exit_with_parent:
        end_with_parent()
    if not options.config.model.exists():
        fail(f"there is no model at {options.config.model}: --model is a .gguf file or a directory")
    _serve(options)


def _serve(options: Options) -> None:
    config = options.config
    try:
        listener = bind(config.host, config.port)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        fail(f"can't listen on {where}: {error.strerror}; choose another --port (0 takes a free one)")

    # They import torch, which takes seconds: only once the port is ours.
    from serving.server import serve
    from serving.weights import ModelLoadError

    try:
        with listener:
            serve(config, listener=listener, log_level=options.log_level)
    except ModelLoadError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
