"""Opens connections: to a plain HTTP server directly, to an https one also through a proxy."""

import asyncio
import socket
import ssl

from agentbench.environment import Proxy
from agentbench.transport.channel import Channel, Receiver, StampedSocket, TlsChannel
from agentbench.transport.tunnel import tunnel

NEXT_ADDRESS_S = 0.25
"""Wait for one address of a host before the next is tried beside it (RFC 8305)."""


async def connect(
    host: str, port: int, receiver: Receiver, *, tls: ssl.SSLContext | None, proxy: Proxy | None
) -> Channel:
    """Raises `OSError` when nothing answers. Only a connection with `tls` goes through `proxy`."""
    loop = asyncio.get_running_loop()
    if tls is None:
        return StampedSocket(await _open(host, port), loop, receiver)
    if proxy is not None:
        return await _through(proxy, host, port, receiver, tls)
    _, channel = await loop.create_connection(
        lambda: TlsChannel(receiver), host, port, ssl=tls, happy_eyeballs_delay=NEXT_ADDRESS_S
    )
    return channel


async def _through(proxy: Proxy, host: str, port: int, receiver: Receiver, tls: ssl.SSLContext) -> Channel:
    connection = await _open(proxy.host, proxy.port)
    try:
        await tunnel(connection, proxy, host, port)
        _, channel = await asyncio.get_running_loop().create_connection(
            lambda: TlsChannel(receiver), sock=connection, ssl=tls, server_hostname=host
        )
    except BaseException:  # a cancellation too: an open socket has no owner yet
        connection.close()
        raise
    return channel


async def _open(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
        except OSError as found:
            connection.close()
            error = found
        except BaseException:  # as in `_through`
            connection.close()
            raise
        else:
            return connection
    raise error or OSError(f"no address for {host}")
