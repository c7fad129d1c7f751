"""One keep-alive connection: a request, its answer, the next request."""

import asyncio
from collections.abc import Callable
from time import perf_counter_ns

from agentbench.transport.channel import Channel
from agentbench.transport.exchange import Exchange
from agentbench.transport.http_reply import HttpReply, MalformedReply

OK = 200


class WireBroken(Exception):
    """The connection ended inside a request; `begun` when bytes of the answer had come."""

    def __init__(self, message: str, *, begun: bool) -> None:
        super().__init__(message)
        self.begun = begun


class Wire:
    """Sends one request at a time over its `channel`; `usable` while it can take another."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.usable = True
        self._reply: HttpReply | None = None
        self._relay: Callable[[bytes], None] | None = None
        self._relayed = 0
        self._done: asyncio.Future[None] | None = None

    def received(self, at: int, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            return self.close()
        try:
            reply.feed(at, data)
        except MalformedReply as error:
            return self._fail(error)
        if self._relay is not None and reply.status == OK:
            for _, piece in reply.pieces[self._relayed :]:
                self._relay(piece)
            self._relayed = len(reply.pieces)
        if reply.complete:
            self._succeed()

    def lost(self, reason: str) -> None:
        self.usable = False
        if self._reply is None:
            return
        self._reply.end()
        if self._reply.complete:
            self._succeed()
        else:
            self._fail(WireBroken(reason, begun=self._reply.begun))

    async def ask(self, request: bytes, exchange: Exchange) -> None:
        """Send and wait for the whole answer; what came of it is in `exchange` also when this raises."""
        if not self.usable or self.channel is None:
            raise WireBroken("the server closed the connection while it was idle", begun=False)
        reply = self._reply = HttpReply()
        done = self._done = asyncio.get_running_loop().create_future()
        self._relay, self._relayed = exchange.relay, 0
        exchange.pieces = reply.pieces
        exchange.sent_at = exchange.sent_at or perf_counter_ns()
        self.channel.write(request)
        try:
            await done
        finally:
            exchange.status, exchange.headers = reply.status, reply.headers
            self.usable = self.usable and reply.complete and reply.keep_alive
            self._reply = self._relay = self._done = None

    def close(self) -> None:
        self.usable = False
        if self.channel is not None:
            self.channel.close()

    def _succeed(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        self.usable = False
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
