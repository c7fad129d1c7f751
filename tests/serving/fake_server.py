"""`python -m tests.serving.fake_server INTERVAL_S PIECE_BYTES [server options]`: a server with a fake engine."""

import sys
from collections.abc import Sequence

from serving.config import parse_options
from serving.http.server import bind
from serving.server import log_to_standard_error, serve_engine
from tests.serving.paced_engine import PacedEngine


def main(arguments: Sequence[str]) -> None:
    interval_s, size, *rest = arguments
    options = parse_options(["--model", "fake", *rest])
    log_to_standard_error(options.log_level)
    engine = PacedEngine(float(interval_s), "x" * int(size))
    serve_engine(engine, options.config, bind(options.config.http.host, options.config.http.port), options.log_level)


if __name__ == "__main__":
    main(sys.argv[1:])
