"""The server's socket."""

import socket


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Connections made while the model loads wait in its backlog.

    Raises `OSError` where the port is taken or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
