"""A request's body as it arrives, within bounds."""

import asyncio

from starlette.requests import Request

from serving.openai.error import ApiError


async def read_body(request: Request, limit: int, timeout_s: float) -> bytes:
    """Raises `ApiError`: 413 for more than `limit` bytes, of which no more are held, 408 where they take too long.

    What a refused client still sends is read and dropped by the HTTP server, so that it gets to see the answer.
    """
    if _announced(request) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    left = limit
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    raise _too_large(limit)
                pieces.append(piece)
    except TimeoutError:
        message = f"The request's body did not arrive within {timeout_s:g} seconds."
        raise ApiError(message, status=408, code="request_timeout", headers={"connection": "close"}) from None
    return b"".join(pieces)


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _too_large(limit: int) -> ApiError:
    message = f"The request's body is larger than {limit} bytes (max_body_bytes)."
    return ApiError(message, status=413, code="request_too_large")
