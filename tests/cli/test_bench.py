"""`agentbench bench` from its command line to its files, against a scripted server in another process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import typer
from typer.testing import CliRunner

from agentbench.cli.bench import bench_command
from agentbench.core.errors import UserError
from agentbench.loadtest.metrics import summarize
from agentbench.loadtest.record import record_of_json
from tests.cli.command_line import ROOT, refused
from tests.cli.command_line import agentbench as command
from tests.end_to_end.processes import wait_until
from tests.loadtest.scripted_server import scripted_server
from tests.report.page_numbers import check, numbers

LISTENING_TO_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from agentbench.cli import main
main()
"""
"""Whoever runs the tests in the background of a shell has them ignore it, and their children too."""
SMALL = ("--input-tokens", "12", "--output-tokens", "6", "--no-roofline")
CARD = {
    "num_parameters": 1000,
    "weight_bytes_per_step": 2000,
    "kv_bytes_per_token": 10,
    "num_layers": 2,
    "hidden_size": 5,
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with scripted_server("--cached", "3") as server:
        yield server.base_url


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bench(*arguments: str, exit_code: int = 0) -> str:
    """Standard output; a `UserError` is raised."""
    app = typer.Typer()
    app.command()(bench_command)
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.stdout


def measured(*arguments: str) -> dict[str, Any]:
    bench(*arguments, *SMALL, "--json", "out.json")
    document: dict[str, Any] = json.loads(Path("out.json").read_text())
    return document


def figures(document: dict[str, Any], point: int = 0, side: str = "server") -> dict[str, Any]:
    found: dict[str, Any] = document["points"][point]["sides"][side]["figures"]
    return found


def test_a_closed_loop_is_measured_printed_and_stored(url: str) -> None:
    text = bench("--server", url, "--concurrency", "1,4", "--requests", "12", *SMALL)
    assert "c=1" in text
    assert "c=4" in text
    assert "12/12" in text
    [stored] = Path("results/bench").glob("*-server.json")
    document = json.loads(stored.read_text())
    for number in (0, 1):
        found = figures(document, number)
        assert (found["answered"], found["errors"], found["warmup_requests"]) == (12, 0, 2)
        assert found["prompt_tokens_as_asked"] == found["output_tokens_as_asked"] == 1.0
        assert found["prefix_hit_share"] == pytest.approx(3 / 12)
    assert figures(document, 1)["most_outstanding"] == 4
    assert document["command"][0] == "agentbench"
    assert document["environment"]["cpu"]


def test_figures_can_be_had_again_from_the_raw_times(url: str) -> None:
    document = measured("--server", url, "--concurrency", "3", "--objective", "ttft=1s")
    side = document["points"][0]["sides"]["server"]
    records = [[record_of_json(each) for each in side["rounds"][0]["requests"]]]
    again = summarize(records, document["objectives_s"])
    assert again == {key: side["figures"][key] for key in again}
    assert side["figures"]["goodput_per_s"] == side["figures"]["requests_per_s"]


def test_an_open_loop_keeps_its_schedule_whatever_the_server_does(url: str) -> None:
    settings = ("--rate", "200", "--arrivals", "constant", "--requests", "20")
    document = measured("--server", url, *settings)
    requests = document["points"][0]["sides"]["server"]["rounds"][0]["requests"]
    wanted = [each["intended_at"] for each in requests if not each["warmup"]]
    assert wanted == [index * 5_000_000 for index in range(20)]
    assert all(each["sent_at"] >= each["intended_at"] for each in requests)


def test_the_same_seed_asks_the_same_and_a_duration_ends_it(url: str) -> None:
    settings = ("--server", url, "--rate", "100", "--duration", "200ms", "--spread", "0.5")
    asked = []
    for seed in ("1", "1", "2"):
        document = measured(*settings, "--seed", seed)
        requests = document["points"][0]["sides"]["server"]["rounds"][0]["requests"]
        asked.append(
            [
                (r["intended_at"], r["asked_prompt_tokens"], r["asked_output_tokens"])
                for r in requests
                if not r["warmup"]
            ]
        )
    assert asked[0] == asked[1] != asked[2]
    assert max(wanted for wanted, _, _ in asked[0]) < 200_000_000


def test_two_servers_in_turn(url: str) -> None:
    with scripted_server("--ttft-ms", "200", "--tpot-ms", "4") as slow:
        sides = ("--server", url, "--vs", slow.base_url, "--name", "fast", "--vs-name", "slow")
        document = measured(*sides, "--rounds", "3", "--requests", "4", "--html", "page.html")
    [point] = document["points"]
    rounds = [(each["started_at"], name) for name, side in point["sides"].items() for each in side["rounds"]]
    assert [name for _, name in sorted(rounds)] == ["fast", "slow"] * 3
    for one, other in zip(*(side["rounds"] for side in point["sides"].values()), strict=True):
        assert [r["asked_prompt_tokens"] for r in one["requests"]] == [
            r["asked_prompt_tokens"] for r in other["requests"]
        ]
    ratio = point["ratios"]["slow"]["ttft_p50_s"]
    assert ratio["low"] <= ratio["ratio"] <= ratio["high"] < 1
    assert point["ratios"]["slow"]["output_tokens_per_s"]["ratio"] > 1
    page = Path("page.html").read_text()
    assert "fast / slow" in page
    walked = numbers(page)
    for number in walked:
        check(number, document)
    assert ("points", 0, "ratios", "slow", "ttft_p50_s", "low") in {number.path for number in walked}


def test_three_servers(url: str) -> None:
    document = measured("--server", url, "--vs", url, "--vs", url, "--rounds", "2", "--requests", "2")
    assert list(document["points"][0]["sides"]) == ["A", "B", "C"]
    assert list(document["points"][0]["ratios"]) == ["B", "C"]


def test_a_sweep_stops_when_the_server_is_saturated() -> None:
    with scripted_server("--slots", "2", "--ttft-ms", "10", "--tpot-ms", "2") as server:
        text = bench("--server", server.base_url, "--sweep", "--rate", "80", "--requests", "60", *SMALL)
    assert "is saturated: outstanding requests rose from" in text
    assert "Ended: saturated at" in text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def charts_of(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.split('id="charts">')[1].partition("</script>")[0])
    return found


def test_a_page_is_whole_works_offline_and_says_what_was_run() -> None:
    with scripted_server("--architecture", json.dumps(CARD)) as server:
        settings = ("--concurrency", "1,2", "--peak-bandwidth", "10", "--peak-flops", "100", "--name", "a <b>")
        bench("--server", server.base_url, *settings, *SMALL, "--json", "a.json", "--html", "a.html")
    page = Path("a.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    body, *scripts = page.split("<script")
    assert body.count('class="plot"') == len(charts_of(page)) == 7
    assert not tags.links
    assert "a &lt;b&gt;" in body
    assert "<b>" not in body
    assert "<b>" not in scripts[1], "in the charts neither"
    for said in ("agentbench", "Throughput against latency", "MBU", "10.0 GB/s", "prefers-color-scheme: dark"):
        assert said in page
    document = json.loads(Path("a.json").read_text())
    found = figures(document, 0, "a <b>")
    assert 0 < found["mbu"] < 1
    assert 0 < found["mfu"] < 1
    for number in numbers(page):
        check(number, document)


def test_stored_results_are_shown_again_several_on_one_page(url: str) -> None:
    for name in ("one", "two"):
        bench("--server", url, "--requests", "2", "--name", name, *SMALL, "--json", f"{name}.json")
    text = bench("--from", "one.json", "two.json", "--html", "both.html")
    assert "one · scripted" in text
    assert "two · scripted" in text
    assert "one · one" in Path("both.html").read_text()
    assert len(list(Path("results/bench").glob("*.json"))) == 2


def test_refusals_and_breaks_are_counted_by_kind() -> None:
    with scripted_server("--fail-every", "5", "--status", "429", "--break-every", "4") as server:
        found = figures(measured("--server", server.base_url, "--requests", "20", "--warmup", "0"))
    assert found["errors_by_kind"].keys() == {"HTTP 429", "broken"}
    assert found["answered"] + found["errors"] == 20
    assert found["ttft_p50_s"] is not None


def test_a_server_that_fails_from_the_start_is_no_crash() -> None:
    with scripted_server("--fail-every", "1", "--status", "503") as server:
        text = bench("--server", server.base_url, "--concurrency", "1,2", *SMALL, exit_code=1)
    assert "16 HTTP 503" in text
    assert "Ended: no request was answered at c=1" in text
    assert "capabilities could not be probed" in text


def test_a_server_of_two_that_answers_nothing_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with scripted_server() as good, scripted_server("--fail-every", "1", "--status", "503") as bad:
        app = typer.Typer()
        app.command()(bench_command)
        arguments = ["--server", good.base_url, "--vs", bad.base_url, "--vs-name", "other", "--requests", "4", *SMALL]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "no request was answered by other: " in result.stderr
    assert "HTTP 503" in result.stderr


def test_a_server_that_dies_in_the_middle_leaves_what_was_measured() -> None:
    with scripted_server("--die-after", "8") as server:
        document = measured("--server", server.base_url, "--concurrency", "2,4", "--requests", "20", "--warmup", "0")
    first = figures(document)
    assert 0 < first["answered"] < 20
    assert first["errors_by_kind"].keys() <= {"broken", "reset", "refused"}
    assert document["ended"] == "no request was answered at c=4"


def test_a_connection_that_is_dropped_when_idle_costs_no_request() -> None:
    with scripted_server("--drop-idle") as server:
        found = figures(measured("--server", server.base_url, "--requests", "10"))
    assert (found["answered"], found["errors"]) == (10, 0)


@pytest.mark.parametrize(
    ("option", "form", "note"),
    [("--plain", "ids", "does not support ignore_eos"), ("--chat-only", "chat", "an approximate number of tokens")],
)
def test_servers_that_know_less_are_asked_what_they_know(option: str, form: str, note: str) -> None:
    with scripted_server(option, "--no-usage") as server:
        document = measured("--server", server.base_url, "--requests", "3")
    [side] = document["sides"]
    assert (side["form"], side["continuous_usage"]) == (form, False)
    assert note in document["workload_note"]
    assert figures(document)["tokens_assumed"]
    assert figures(document)["completion_tokens"] == 18


def test_what_one_server_does_not_know_no_server_is_asked(url: str) -> None:
    with scripted_server("--chat-only") as server:
        document = measured("--server", url, "--vs", server.base_url, "--rounds", "1", "--requests", "2")
    assert figures(document, 0, "A")["answered"] == figures(document, 0, "B")["answered"] == 2


def test_a_suites_prompts(url: str) -> None:
    text = bench("--server", url, "--workload", f"suite:{ROOT / 'suites' / 'arithmetic'}", "--concurrency", "8", *SMALL)
    assert "30/30" in text
    assert "the first model call of each of 30 cases" in text


def test_a_stored_run_is_replayed_at_its_own_times(url: str) -> None:
    suite = ROOT / "suites" / "arithmetic"
    run = command("run", str(suite), "--backend", url, "--limit", "3", "--db", str(Path("a.db").absolute()))
    assert run.returncode == 0, run.stderr
    document = measured("--server", url, "--workload", "trace:latest", "--db", "a.db")
    assert document["points"][0]["load"]["kind"] == "recorded"
    assert figures(document)["answered"] == 3


def test_extra_fields_are_sent(url: str) -> None:
    document = measured("--server", url, "--requests", "2", "--extra-body", '{"max_tokens": 3}')
    assert figures(document)["completion_tokens"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--server", "http://127.0.0.1:9/v1"], "http://127.0.0.1:9/v1 can't be reached"),
        (["--server", "bundeld"], "--server: unknown server 'bundeld'. Did you mean 'bundled'"),
        (["--concurrency", "x"], "--concurrency 'x': expected positive numbers"),
        (["--concurrency", "1", "--rate", "1"], "give one of them"),
        (["--workload", "suite:nowhere", "--server", "URL"], "there is no suite at nowhere"),
        (["--workload", "trace:latest", "--server", "URL", "--db", "no.db"], "there is no store at"),
        (["--from", "missing.json"], "missing.json: can't be read as a stored benchmark"),
        (["x.json"], "stored results are shown with --from x.json"),
        (["--model", "gpt-5"], "model 'gpt-5' is neither a known name"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(url: str, arguments: list[str], message: str) -> None:
    given = [url if each == "URL" else each for each in arguments]
    with pytest.raises(UserError) as caught:
        bench(*given, *SMALL)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(Path(".").glob("results/bench/*"))


def test_a_mistake_exits_with_2() -> None:
    assert "--objective 'ttft': expected NAME=DURATION" in refused(command("bench", "--objective", "ttft"))


def test_a_file_that_is_no_benchmark_is_told(tmp_path: Path) -> None:
    Path("x.json").write_text("{}")
    with pytest.raises(UserError, match=r"x\.json: not a stored benchmark"):
        bench("--from", "x.json")


def test_a_path_that_can_not_be_written_is_told_at_once(url: str) -> None:
    Path("results").write_text("in the way")
    with pytest.raises(UserError, match="cannot write results/bench"):
        bench("--server", url, *SMALL)


def test_a_page_that_can_not_be_made_is_told_before_anything_is_measured(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(UserError, match="an HTML page needs Plotly: pip install"):
        bench("--server", url, *SMALL, "--html", "page.html")
    assert not list(Path(".").glob("**/*.json"))


def requests_to(url: str) -> int:
    with urlopen(f"{url}/models", timeout=60) as answer:
        return int(json.load(answer)["data"][0]["requests"])


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    with scripted_server("--ttft-ms", "30", "--tpot-ms", "30") as server:
        arguments = ["--server", server.base_url, "--requests", "1000", "--concurrency", "2", *SMALL, "--warmup", "1"]
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENING_TO_CTRL_C, "bench", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert wait_until(lambda: requests_to(server.base_url) >= 10)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; what was measured until then is stored" in errors
    [stored] = tmp_path.glob("results/bench/*.json")
    document = json.loads(stored.read_text())
    assert document["ended"] == "interrupted"
    found = figures(document)
    assert found["answered"] > 0
    assert found["interrupted"] == 2
    assert "c=2" in output
