"""2,000 hostile requests beside 16 honest streams: no client gets text of another, and honest answers are right."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from tests.serving.conftest import ALIGNED, CheckpointMaker
from tests.serving.http.hostile_requests import KINDS, Hostile, chat, hostile_request, http
from tests.serving.server_process import ServerProcess, running_server

HONEST, AT_ONCE = 16, 24
OPTIONS = {
    "served-model-name": "m",
    "max-model-len": "1024",
    "kv-cache-memory-mb": "64",
    "max-body-bytes": "1000000",
    "request-timeout-s": "5",
    "slow-reader-timeout-s": "3",
    "log-level": "info",
    "dtype": "float32",
}
MARK = re.compile(rb"mark[0-9a-f]{12}")
INSIDE = (b"Traceback", b"Sequence(", b"Request(", b" object at 0x", b"Error(", b'File "')


def mark_of(source: Random) -> str:
    return f"mark{source.getrandbits(48):012x}"


def honest_requests(source: Random) -> list[bytes]:
    """Half of them greedy, half of them with a seed."""
    sampling = ({"temperature": 0}, {"temperature": 1, "seed": 7, "top_p": 0.9})
    more = {"stream": True, "max_tokens": 24, "ignore_eos": True}
    return [http("chat/completions", chat(mark_of(source), **more | sampling[i % 2])) for i in range(HONEST)]


async def exchange(server: ServerProcess, request: bytes, leaves: str = "never") -> bytes:
    reader, writer = await asyncio.open_connection(*server.address, limit=4096)
    try:
        writer.write(request[: len(request) // 2] if leaves == "in the request" else request)
        with suppress(ConnectionError):
            await writer.drain()
        if leaves == "in the request":
            return b""
        if leaves == "in the answer":
            return await reader.read(1500)
        answer = b""
        with suppress(ConnectionError):
            while piece := await reader.read(100 if leaves == "reading slowly" else 65536):
                answer += piece
                await asyncio.sleep(0)
        return answer
    finally:
        writer.close()


def text_of(answer: bytes) -> str:
    """The text of a complete stream; for any other answer, the answer itself."""
    events = re.findall(rb"^data: (\{.*\})\r?$", answer, re.MULTILINE)
    if not events or b"data: [DONE]" not in answer:
        return answer.decode(errors="replace")
    choices = [choice for event in events for choice in json.loads(event).get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def faults(hostile: Hostile, answer: bytes) -> Iterator[str]:
    others = {found for found in MARK.findall(answer) if found.decode() != hostile.mark}
    if others:
        yield f"it has another's {others}"
    yield from (f"it has {inside!r}" for inside in INSIDE if inside in answer)
    if hostile.leaves == "never":
        status = int(answer.split(maxsplit=2)[1]) if answer else 0
        if status not in hostile.statuses:
            yield f"status {status}"


async def soak(server: ServerProcess, requests: int, source: Random) -> tuple[list[str], Counter[str], int]:
    """The faults, the number of hostile requests of each kind, and the number of honest answers."""
    honest = honest_requests(source)
    alone = [text_of(await exchange(server, request)) for request in honest]
    wrong = [f"honest alone: {text[:300]}" for text in alone if text.startswith("HTTP")]
    kinds, answered, over = Counter[str](), 0, asyncio.Event()
    places = asyncio.Semaphore(AT_ONCE)

    async def stream(index: int) -> None:
        nonlocal answered
        while not over.is_set():
            got = text_of(await exchange(server, honest[index]))
            answered += 1
            if got != alone[index]:
                wrong.append(f"honest: {got[:300]!r} and not {alone[index][:300]!r}")

    async def attack(hostile: Hostile) -> None:
        async with places:
            answer = await asyncio.wait_for(exchange(server, hostile.request, hostile.leaves), 120)
            kinds[hostile.kind] += 1
            wrong.extend(f"{hostile.kind}: {fault}: {answer[:400]!r}" for fault in faults(hostile, answer))

    async def attacks() -> None:
        named = [list(KINDS)[i % len(KINDS)] for i in range(requests)]
        source.shuffle(named)
        await asyncio.gather(*(attack(hostile_request(kind, mark_of(source), source)) for kind in named))
        over.set()

    await asyncio.gather(attacks(), *(stream(index) for index in range(HONEST)))
    return wrong, kinds, answered


@pytest.mark.parametrize("requests", [len(KINDS), pytest.param(2000, marks=pytest.mark.slow)])
def test_honest_answers_are_right_and_no_client_gets_text_of_another(
    make_checkpoint: CheckpointMaker, requests: int
) -> None:
    model = make_checkpoint("llama", **ALIGNED, max_position_embeddings=1024)
    options = (part for name, value in OPTIONS.items() for part in (f"--{name}", value))
    with running_server(model, *options) as server:
        wrong, kinds, answered = asyncio.run(soak(server, requests, Random(0)))
        print("\n".join(wrong[:40]))
        print(f"{kinds.total()} hostile requests of {len(kinds)} kinds, {answered} honest answers")
        assert server.stop() == 0
        log = server.log().encode()
    assert wrong == []
    assert kinds.total() == requests
    assert answered >= HONEST
    assert MARK.findall(log) == []
    assert [inside for inside in INSIDE if inside in log] == []
