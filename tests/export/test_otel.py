"""A run as OpenTelemetry traces, sent, written and read again; and traces that others wrote."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_values
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.core.errors import UserError
from agentbench.export.otel import send_otel, write_otel
from agentbench.export.otel_import import import_traces
from agentbench.export.otlp import messages_of, otel_message
from agentbench.report.run.view import run_view
from agentbench.store import Store, open_store
from tests.report.runs import fill

FREE = "weather-20260304-050600-aaa111"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "a.db")) as store:
        fill(store, cases=12)
        yield store


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def spans_in(path: Path) -> list[dict[str, Any]]:
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        span
        for each in requests
        for group in each["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


def test_an_attempt_is_a_trace_of_the_conventions(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    assert write_otel(store, store.get_run("free"), path) == {"spans": 12 * 4}
    spans = spans_in(path)
    trace = [each for each in spans if each["traceId"] == spans[0]["traceId"]]
    assert [each["name"] for each in trace] == [
        "invoke_agent tool_loop",
        "chat smollm2-135m-instruct",
        "execute_tool weather",
        "chat smollm2-135m-instruct",
    ]
    assert len({each["traceId"] for each in spans}) == 12
    assert all(each["parentSpanId"] == trace[0]["spanId"] for each in trace[1:])
    assert len(trace[0]["traceId"]) == 32
    chat, kind = attributes(trace[1]), trace[1]["kind"]
    assert (chat["gen_ai.operation.name"], kind) == ("chat", 3)
    assert chat["gen_ai.usage.input_tokens"] == "120"
    assert 0.7 <= chat["gen_ai.response.time_to_first_chunk"] <= 0.9
    answer = json.loads(chat["gen_ai.output.messages"])[0]
    assert answer["parts"] == [{"type": "tool_call", "id": "1", "name": "weather", "arguments": {"city": "7"}}]
    event = trace[0]["events"][0]
    assert event["name"] == "gen_ai.evaluation.result"
    assert attributes(event)["gen_ai.evaluation.name"] == "tool_call_match"


def test_a_run_comes_back_with_the_same_figures(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    run = store.get_run("free")
    write_otel(store, run, path)
    with open_store(str(tmp_path / "b.db")) as other:
        imported, counts, new = import_traces(path, other)
        assert (counts, new) == ({"attempts": 12}, True)
        assert import_traces(path, other)[2] is False
        before, after = run_view(store, run).to_json(), run_view(other, imported).to_json()
        here = {each.case_id: each for each in store.attempts(run.id)}
        there = {each.case_id: each for each in other.attempts(imported.id)}
    named = {
        "id",
        "label",
        "suite_version",
        "suite_hash",
        "status",
        "created_at",
        "finished_at",
        "config",
        "config_hash",
    }
    named |= {"agent", "server", "objectives_s", "agent_goodput_per_s"}
    assert {k: v for k, v in after.items() if k not in named} == {
        k: (pytest.approx(v, rel=1e-6) if isinstance(v, float) else v) for k, v in before.items() if k not in named
    }
    assert there.keys() == here.keys()
    for case, attempt in here.items():
        assert there[case].trace.output == attempt.trace.output
        assert [type(step) for step in there[case].trace.steps] == [type(step) for step in attempt.trace.steps]
        assert there[case].trace.model_calls[1].messages[0] == attempt.trace.model_calls[1].messages[0]
        before_and_after = zip(attempt.trace.model_calls, there[case].trace.model_calls, strict=True)
        assert all(one.chunk_tokens == other.chunk_tokens for one, other in before_and_after)


@contextmanager
def collector(status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """Something that listens for OTLP over HTTP."""
    taken: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.path.encode() + b" " + self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.long
def test_a_collector_gets_the_spans(store: Store) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with collector() as (endpoint, taken):
        assert send_otel(store, store.get_run("free"), endpoint) == {"spans": 48}
    path, _, body = taken[0].partition(b" ")
    assert path == b"/v1/traces"
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    assert len(request.resource_spans[0].scope_spans[0].spans) == 48


@pytest.mark.long
def test_a_collector_that_refuses_is_told(store: Store) -> None:
    with collector(status=400) as (endpoint, _), pytest.raises(UserError, match="did not take the spans"):
        send_otel(store, store.get_run("free"), endpoint)


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def given(**values: Any) -> list[dict[str, Any]]:
    """Attributes as OTLP's JSON writes them; `__` stands for a dot."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [{"key": name.replace("__", "."), "value": {kinds[type(v)]: v}} for name, v in values.items()]


CHAT: dict[str, Any] = {
    "traceId": "t1",
    "spanId": "b",
    "name": "chat gpt",
    "startTimeUnixNano": "2000000000",
    "endTimeUnixNano": "5000000000",
    "attributes": given(
        gen_ai__operation__name="chat",
        gen_ai__request__model="gpt",
        gen_ai__usage__output_tokens=11,
        gen_ai__response__time_to_first_chunk=1.0,
        gen_ai__input__messages=said("user", "Hi"),
        gen_ai__output__messages=said("assistant", "Yes"),
    ),
}
OTHER = {"traceId": "t2", "spanId": "c", "name": "GET /", "startTimeUnixNano": 1, "endTimeUnixNano": 2}
OTHERS = {
    "resourceSpans": [
        {"resource": {"attributes": given(service__name="shop")}, "scopeSpans": [{"spans": [CHAT, OTHER]}]},
    ]
}


def test_what_others_wrote_waits_for_a_person(tmp_path: Path) -> None:
    path, db = tmp_path / "others.json", str(tmp_path / "a.db")
    path.write_text(json.dumps(OTHERS))
    result = CliRunner().invoke(app, ["import", str(path), "--db", db])
    assert result.exit_code == 0, result.output
    assert "imported: 1 attempts" in result.output
    with open_store(db) as store:
        run = store.get_run("latest")
        view = run_view(store, run)
        (attempt,) = store.attempts(run.id)
    assert (run.suite, view.model, view.waiting) == ("shop", "gpt", 1)
    assert view.serving.ttft_p50_s == pytest.approx(1.0)
    assert view.serving.tpot_p50_s == pytest.approx(0.2)
    assert attempt.trace.output == "Yes"
    assert attempt.trace.model_calls[0].messages == ({"role": "user", "content": "Hi"},)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"resourceSpans": []}', "none with a span of the GenAI conventions"),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 1}]}]}]}', "is not OTLP's JSON"),
        ('{"resourceSpans": []}\n{"a": 1', "line 2: not JSON"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with open_store(str(tmp_path / "a.db")) as store, pytest.raises(UserError, match=error):
        import_traces(path, store)


ANYTHING = st.recursive(
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"stringValue": st.text(max_size=8)}),
        st.fixed_dictionaries({"intValue": st.one_of(st.integers(), st.text(max_size=3))}),
        st.fixed_dictionaries({"doubleValue": st.floats(allow_nan=False)}),
        st.fixed_dictionaries({"boolValue": st.booleans()}),
        st.just({"stringValue": '[{"role": "user", "parts": "x"}]'}),
    ),
    lambda values: st.fixed_dictionaries(
        {"arrayValue": st.fixed_dictionaries({"values": st.lists(values, max_size=3)})}
    ),
    max_leaves=4,
)
NAMES = [
    *(pair["key"] for pair in CHAT["attributes"]),
    *(
        "agentbench.case.expected",
        "agentbench.chunk_at",
        "agentbench.chunk_tokens",
        "agentbench.silent_chunks",
        "gen_ai.response.finish_reasons",
        "gen_ai.system_instructions",
    ),
    *("gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.tool.call.arguments"),
]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "empty.db")) as store:
        yield store


@pytest.mark.long
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_values(attributes=st.dictionaries(st.sampled_from(NAMES), ANYTHING, min_size=1, max_size=3))
def test_strange_attributes_are_kept_or_told(attributes: dict[str, Any], empty: Store, tmp_path: Path) -> None:
    """The examples share a store, since opening one takes longer than all else."""
    changed = [{"key": name, "value": value} for name, value in attributes.items()]
    kept = [each for each in CHAT["attributes"] if each["key"] not in attributes]
    event = {"name": "gen_ai.evaluation.result", "attributes": changed}
    span = {**CHAT, "attributes": [*kept, *changed], "events": [event]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    before = {run.id for run in empty.list_runs()}
    told, kept_as = "", set()
    try:
        kept_as = {import_traces(path, empty)[0].id}
    except UserError as error:
        told = str(error)
    assert "\n" not in told
    assert {run.id for run in empty.list_runs()} == before | kept_as


def test_messages_come_back() -> None:
    asked = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "content": "Bye"},
    ]
    assert messages_of(json.dumps([otel_message(each) for each in messages])) == messages
    strange = replace_content(messages[0], [{"type": "image_url"}])
    assert messages_of([otel_message(strange)])[0]["content"] == '[{"type": "image_url"}]'


def replace_content(message: dict[str, Any], content: Any) -> dict[str, Any]:
    return {**message, "content": content}


@pytest.mark.parametrize("count", ["-1", "9223372036854775808", "9223372036854775807"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    attribute = {"key": "gen_ai.usage.input_tokens", "value": {"intValue": count}}
    span = {**CHAT, "attributes": [*CHAT["attributes"], attribute]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    with open_store(str(tmp_path / "a.db")) as store:
        with pytest.raises(UserError, match=f"{count} is no number of tokens"):
            import_traces(path, store)
        assert store.list_runs() == []


def imported(tmp_path: Path, *spans: dict[str, Any], options: tuple[str, ...] = ()) -> Any:
    """The only attempt of what is imported; what was told when it is refused."""
    path, db = tmp_path / "a.json", str(tmp_path / "a.db")
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}))
    result = CliRunner().invoke(app, ["import", str(path), "--db", db, *options])
    if result.exception is not None:
        return str(result.exception)
    with open_store(db) as store:
        [attempt] = store.attempts(store.get_run("latest").id)
        return attempt


def test_a_span_that_was_sent_twice_is_one(tmp_path: Path) -> None:
    attempt = imported(tmp_path, CHAT, OTHER, CHAT, {**CHAT, "spanId": "d"})
    assert len(attempt.trace.model_calls) == 2


@pytest.mark.parametrize("between", [False, True])
def test_a_model_call_around_another_is_one(tmp_path: Path, between: bool) -> None:
    outer = {**CHAT, "spanId": "outer", "attributes": given(gen_ai__operation__name="chat")}
    post = {**CHAT, "spanId": "post", "name": "POST", "parentSpanId": "outer", "attributes": []}
    inner = {**CHAT, "spanId": "inner", "parentSpanId": "post" if between else "outer"}
    attempt = imported(tmp_path, outer, *([post] if between else []), inner)
    [call] = attempt.trace.model_calls
    assert (call.text, call.completion_tokens) == ("Yes", 11)


def scored(value: float) -> dict[str, Any]:
    attributes = given(gen_ai__evaluation__name="helpfulness", gen_ai__evaluation__score__value=value)
    return {**CHAT, "events": [{"name": "gen_ai.evaluation.result", "attributes": attributes}]}


@pytest.mark.parametrize("value", [4.0, -1.0])
def test_a_score_on_another_scale_is_asked_for_its_scale(tmp_path: Path, value: float) -> None:
    told = imported(tmp_path, scored(value))
    assert f"score 'helpfulness' is {value:g}, outside 0 to 1; give its scale: agentbench import" in told


def test_a_score_is_put_from_its_scale_to_one_from_0_to_1(tmp_path: Path) -> None:
    [score] = imported(tmp_path, scored(4.0), options=("--scale", "helpfulness=1:5")).scores
    assert (score.name, score.value) == ("helpfulness", 0.75)


@pytest.mark.parametrize("scale", ["helpfulness", "helpfulness=5:1", "=1:5", "helpfulness=a:b", "helpfulness=0:inf"])
def test_a_scale_that_is_none_is_told(tmp_path: Path, scale: str) -> None:
    assert "expected NAME=LOW:HIGH" in imported(tmp_path, scored(4.0), options=("--scale", scale))


@pytest.mark.long
def test_spans_that_a_collector_rejects_are_told(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    said = ExportTracePartialSuccess(rejected_spans=2, error_message="too many attributes")
    answer = ExportTraceServiceResponse(partial_success=said).SerializeToString()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Collector) as server, open_store(str(tmp_path / "a.db")) as store:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            fill(store, cases=2)
            endpoint = f"http://127.0.0.1:{server.server_port}"
            with pytest.raises(UserError, match=r"not take all of the \d+ spans: it rejected 2: too many attributes"):
                send_otel(store, store.get_run("latest"), endpoint)
        finally:
            server.shutdown()
            serving.join()
