"""A way through an HTTP proxy to a server behind it (RFC 9110, section 9.3.6)."""

import asyncio
import base64
import socket

from agentbench.environment import Proxy

ANSWER_LIMIT = 64 * 1024


async def tunnel(connection: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Makes the connection to `proxy` one to `host`. Raises `OSError` when the proxy won't."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, _request(proxy, host, port))
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(connection, ANSWER_LIMIT)
        answer += data
        if not data or len(answer) > ANSWER_LIMIT:
            raise OSError(f"the proxy {proxy.host}:{proxy.port} gave no HTTP answer")
    first = answer.split(b"\r\n")[0].decode("latin-1")
    if first.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy {proxy.host}:{proxy.port} answered {first!r}")


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.credentials:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(proxy.credentials.encode()).decode())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
