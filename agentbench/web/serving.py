"""The viewer on a port, until it is interrupted."""

import secrets
import socket
import sys
from dataclasses import dataclass
from ipaddress import ip_address

import uvicorn

from agentbench.errors import UserError
from agentbench.report.html_file import plotly
from agentbench.report.template import environment
from agentbench.store import Store
from agentbench.web.app import make_app
from agentbench.web.guard import LOOPBACK
from agentbench.web.viewer import viewer_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where, and whether who comes has to know a token; one is made where others than this machine can come."""

    host: str
    port: int
    token: str | None = None

    @property
    def local(self) -> bool:
        if self.host in LOOPBACK:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def serve(store: Store, db: str | None, listening: Listening, *, reviewer: str | None) -> None:
    """Prints the address and answers until interrupted. `UserError` when the address can't be had."""
    environment(), plotly()  # said now where they are not installed, not on the first page
    token = listening.token or (None if listening.local else secrets.token_urlsafe(18))
    hosts = LOOPBACK | {listening.host} if listening.local else None
    app = make_app(viewer_of(store, db, reviewer=reviewer), hosts=hosts, token=token)
    taken = _listener(listening)
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    print(f"agentbench: {address} {'(review)' if reviewer else '(read-only; --review to label)'}", file=sys.stderr)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[taken])
    except KeyboardInterrupt:
        pass
    finally:
        taken.close()


def _listener(listening: Listening) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        where, reason = f"{listening.host}:{listening.port}", error.strerror or error
        raise UserError(f"can't listen on {where}: {reason}. Give another --host or --port (0: a free one)") from None
    return found
