"""The page of a study: it shows the numbers of `--json`, and texts in it can't run as markup or scripts."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.report import figures
from agentbench.tools.browser import installed_browser
from tests.report.page_numbers import check, numbers
from tests.tuners.conftest import STUDY
from tests.tuners.stub_server import StubServer

StudyWriter = Callable[..., Path]
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u202e"
    + "x" * 50_000
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTBENCH_DB", raising=False)
    return tmp_path


def agentbench(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def page_of(here: Path) -> str:
    agentbench("study", "toy", "--html", here / "toy.html")
    return (here / "toy.html").read_text(encoding="utf-8")


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def test_the_page_s_numbers_are_those_of_the_json(here: Path, study: StudyWriter) -> None:
    agentbench("tune", study())
    found: dict[str, Any] = json.loads(agentbench("study", "toy", "--json"))
    page = without_scripts(page_of(here))
    walked = numbers(page)
    documents: dict[Any, Any] = {}
    for number in walked:
        around = dict(number.document)
        if around["data-document"] == "attempt":
            names = (around["data-run"], around["data-case"], around["data-repeat"])
            if names not in documents:
                shown = agentbench("show", names[0], "--case", names[1], "--repeat", names[2], "--json")
                documents[names] = json.loads(shown)
            check(number, documents[names])
        else:
            check(number, found)
    assert len(documents) >= 2, "a case that changed has both transcripts"
    paths = {number.path for number in walked}
    for place in range(len(found["candidates"])):
        for path in (("quality",), ("figures", "ttft_p95"), ("figures", "goodput"), ("case_runs",)):
            assert ("candidates", place, *path) in paths
    passes = found["verdict"]["passes"]
    assert f"{figures.percent(passes['rate_a'])} against {figures.percent(passes['rate_b'])}" in unescape(page)
    raw = {float(value) for value in re.findall(r'data-value="([0-9.e-]+)"', page)}
    assert raw <= {number.value for number in walked}
    drawn = json.loads(re.search(r'id="charts">(.*?)</script>', page_of(here), re.DOTALL)[1])  # type: ignore[index]
    assert {y for trace in drawn["front"]["data"] for y in trace["y"]} <= {c["quality"] for c in found["candidates"]}


def test_a_study_without_a_verdict_or_without_candidates_has_a_page(
    here: Path, study: StudyWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupting(self: StubServer, body: dict[str, object]) -> bytes | None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StubServer, "_answer", interrupting)
        assert CliRunner().invoke(app, ["tune", str(study())]).exit_code == 130
    page = page_of(here)
    assert "No verdict yet: agentbench tune --resume toy" in page
    assert '<div class="charts">' not in page


@pytest.fixture
def hostile(here: Path, study: StudyWriter, suite: Path) -> str:
    """The page of a study whose settings, questions and answers contain markup."""
    cases = (suite / "cases.jsonl").read_text().splitlines()
    changed = [json.loads(line) for line in cases]
    for case in changed:
        case["input"] = f"{HOSTILE} {case['input']}"
    (suite / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in changed))
    text = STUDY + f"  agent.system_prompt: [null, {json.dumps(HOSTILE)}]\n"
    agentbench("tune", study(text.replace("trials: 5", "trials: 6")))
    return page_of(here)


def test_settings_questions_and_answers_are_shown_as_text(hostile: str) -> None:
    shown = without_scripts(hostile)
    assert "<script>document" not in hostile
    assert "<img" not in shown
    assert "\u202e" not in hostile
    assert len(hostile) < 6_000_000
    assert hostile.count("</script>") == 3
    assert "Newly right" in shown


@pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")
async def test_a_browser_shows_it_without_a_network_or_an_error(hostile: str, here: Path) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed_browser(), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 400, "height": 800})
        problems: list[str] = []
        urls: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: urls.append(request.url))
        await page.goto((here / "toy.html").as_uri())
        await page.wait_for_selector("#front .main-svg")
        assert await page.title() == "study toy"
        assert await page.evaluate("document.documentElement.scrollWidth") <= 400
        await page.get_by_role("button", name="quality").click()
        rows = await page.locator("table.sortable tbody tr td:nth-child(4)").all_inner_texts()
        await page.locator("details summary").first.click()
        assert await page.locator("details .sides").first.is_visible()
        await browser.close()
    shares = [float(row.rstrip(" %")) for row in rows if row != "—"]
    assert shares == sorted(shares)
    assert problems == []
    assert [url for url in urls if not url.startswith(("file:", "data:", "blob:"))] == []
