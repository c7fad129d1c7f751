"""The page of a run: its numbers equal `--json`, and text from models and cases is escaped."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.report import figures
from agentbench.report.html import html_of
from agentbench.report.run.page import load_run_page, run_page
from agentbench.report.run.view import run_view
from agentbench.store import Store, open_store
from tests.report.runs import a_case, a_run, an_attempt, fill

HOSTILE = "</script><script>document.title='owned'</script><img src=x>\u202e" + "x" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "a.db"))


def shown(page: str) -> str:
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.long
def test_the_pages_numbers_equal_the_view(store: Store) -> None:
    with store:
        fill(store, cases=20)
        run = store.get_run("free")
        view, html = run_view(store, run), html_of(run_page(load_run_page(store, run)))
    cells = [words(each) for each in re.findall(r"<td[^>]*>(.*?)</td>", shown(html), re.DOTALL)]
    assert view.accuracy is not None
    for told in (
        figures.percent(view.accuracy.value),
        figures.seconds(view.serving.ttft_p50_s),
        figures.seconds(view.serving.tpot_p50_s),
        figures.rate(view.serving.output_tokens_per_s),
        f"{view.right} / {view.wrong} / {view.failed}",
    ):
        assert told in cells
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', html, re.DOTALL)[1])  # type: ignore[index]
    assert sum(charts["ttft"]["data"][0]["y"]) == view.serving.model_calls
    assert len(set(charts["timeline"]["data"][0]["y"])) <= 20
    assert len(view.outcomes) == len(re.findall(r"(?:<td><data [^>]*>\d+</data></td>){3}</tr>", html))


def test_the_page_of_a_part_says_of_how_many_cases_it_is(store: Store) -> None:
    with store:
        fill(store, cases=20)
        free = store.get_run("free")
        store.create_run(replace(free, id="part", label="p", kind="part", environment={"suite_cases": 400}))
        pages = [html_of(run_page(load_run_page(store, store.get_run(name)))) for name in ("part", "free")]
    told = [" ".join(words(shown(html)).split()) for html in pages]
    assert "Part20 casesof the suite's 400" in told[0], "three cells"
    assert "of the suite's" not in told[1]


def test_attempts_that_are_not_right_come_first(store: Store) -> None:
    with store:
        fill(store, cases=20)
        html = html_of(run_page(load_run_page(store, store.get_run("free"))))
    verdicts = re.findall(r'<span class="mark \w+">(\w+)</span>', html)
    assert verdicts == sorted(verdicts, key=lambda each: each == "right")
    assert {"right", "wrong"} <= set(verdicts)


def test_text_from_models_and_cases_is_escaped(store: Store) -> None:
    with store:
        run = a_run("20260101-x", HOSTILE, 1, "free")
        store.create_run(run)
        attempt = replace(an_attempt(0, right=False, ttft_ms=100), case_id="case_0")
        scores = tuple(replace(score, reason=HOSTILE, name="<b>") for score in attempt.scores)
        store.add_attempt(
            run.id,
            replace(attempt, scores=scores),
            replace(a_case(0), messages=({"role": "user", "content": HOSTILE},)),
        )
        html = html_of(run_page(load_run_page(store, run)))
    assert html.count("</script>") == 3
    assert "<img" not in shown(html)
    assert "<b>" not in shown(html)
    assert "\u202e" not in html
    assert len(html) < 6_000_000


def test_a_run_without_attempts_has_a_page(store: Store, tmp_path: Path) -> None:
    with store:
        store.create_run(a_run("20260101-x", "empty", 3, "free"))
    path = tmp_path / "out" / "page.html"
    result = CliRunner().invoke(app, ["report", "empty", "--html", str(path), "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 0, result.output
    assert "empty" in path.read_text()
