"""The viewer in a real browser: by mouse and keyboard, in light and dark, and as axe sees it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from agentbench.tools.browser import ARGUMENTS, installed_browser
from tests.report.runs import a_case, a_run, an_attempt
from tests.web.conftest import CONSTRAINED, FREE, Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")

Theme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, "--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser", site: Site) -> "Iterator[Page]":
    """A page that fails the test when its console has an error: a script that broke, or what the policy refused.

    It is closed before its site is: a live page goes on asking.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert wrong == []


def cells(page: "Page", column: int) -> list[str]:
    return [each.strip() for each in page.locator(f"table.list tbody td:nth-child({column})").all_inner_texts()]


def test_runs_are_filtered_and_opened(page: "Page", site: Site) -> None:
    page.goto(site.address)
    assert page.title() == "Runs · agentbench"
    assert cells(page, 4) == ["constrained", "free"]
    page.get_by_label("Search").fill("fre")
    page.get_by_role("button", name="Filter").click()
    assert cells(page, 4) == ["free"]
    page.goto(f"{site.address}/runs?sort=right&order=down")
    assert cells(page, 4) == ["constrained", "free"]
    page.get_by_role("link", name="Right").click()
    assert cells(page, 4) == ["free", "constrained"]
    page.get_by_role("link", name="aaa111").click()
    assert page.locator("h1").inner_text() == "weather · free"
    page.locator("#ttft .main-svg").first.wait_for()


def test_attempts_are_filtered_and_read(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/runs/{FREE}")
    page.get_by_label("Verdict").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    assert cells(page, 1) == ["case_3"]
    page.get_by_role("link", name="case_3").click()
    assert "no answer in 30 s" in page.locator("main").inner_text()
    assert "Weather in city 3?" in page.locator(".transcript").inner_text()
    page.get_by_role("link", name="constrained").click()
    assert page.url.endswith(f"/runs/{CONSTRAINED}/cases/case_3")


def test_two_runs_are_compared(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/runs?sort=label&order=up")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Compare those ticked").click()
    text = page.locator("main").inner_text()
    assert "B against A" in text
    assert "agent.output" in text
    page.locator("summary").first.click()
    assert page.locator("details[open] .sides > div").count() == 2
    page.locator("#pareto_ttft .main-svg").first.wait_for()


def await_queue(page: "Page", state: str) -> None:
    """The queue is in this state, and its script listens."""
    page.get_by_text(state).wait_for()
    page.wait_for_load_state()


def test_three_are_reviewed_by_keyboard(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/runs/{FREE}/review")
    page.get_by_role("radio", name="a sample").check()
    page.get_by_role("button", name="Begin").click()
    await_queue(page, "0 of 50 labelled as ann")
    seen = [page.locator("h1").inner_text()]
    assert page.locator(".reason").count() == 0
    for number, key in enumerate(("p", "f"), 1):
        page.keyboard.press(key)
        await_queue(page, f"{number} of 50 labelled as ann")
        seen.append(page.locator("h1").inner_text())
    page.keyboard.press("s")
    page.wait_for_url(lambda url: seen[-1] not in url)
    seen[-1] = page.locator("h1").inner_text()
    page.keyboard.press("c")
    page.keyboard.type("p is for pass")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    await_queue(page, "3 of 50 labelled as ann")
    labels = {label.case_id: (label.passed, label.comment) for label in site.store.labels(FREE)}
    assert labels == {seen[0]: (True, ""), seen[1]: (False, ""), seen[2]: (True, "p is for pass")}
    page.goto(f"{site.address}/runs/{FREE}/agreement")
    assert "3 attempts labelled" in page.locator("main").inner_text()


def test_another_reviewer_has_a_queue_of_their_own(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/runs/{FREE}/review")
    page.get_by_label("You label as").fill("Béa")
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Begin").click()
    await_queue(page, "0 of 59 labelled as Béa")
    page.keyboard.press("f")
    await_queue(page, "1 of 59 labelled as Béa")
    assert [label.reviewer for label in site.store.labels(FREE)] == ["Béa"]


def test_tags_and_a_note_are_kept(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/runs/{FREE}")
    page.get_by_label("Tag").fill("to publish")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Remove tag to publish").wait_for()
    page.get_by_text("Note", exact=True).first.click()
    page.locator("textarea").fill("slow\nbut right")
    page.get_by_role("button", name="Keep").click()
    page.goto(f"{site.address}/runs?tag=to+publish")
    assert cells(page, 4) == ["free"]
    assert site.store.notes.note(FREE) == "slow\nbut right"


def test_a_running_run_is_followed(page: "Page", site: Site) -> None:
    run = replace(a_run("live-1", "live", 3, "free"), status="running")
    site.store.create_run(run)
    page.goto(f"{site.address}/runs/live-1")
    page.get_by_text("0 of 3 attempts").wait_for()
    for number in range(3):
        site.store.add_attempt(run.id, an_attempt(number, right=True, ttft_ms=100), a_case(number))
        page.get_by_role("link", name=f"case_{number}").wait_for()
    site.store.set_status(run.id, "finished")
    page.locator("#status", has_text="finished").wait_for()
    assert page.get_by_text("3 of 3 attempts").count() == 1


def test_downloads_are_whole(page: "Page", site: Site, tmp_path: Path) -> None:
    page.goto(f"{site.address}/runs/{FREE}")
    for name, ending in (("figures (JSON)", ".json"), ("report (HTML)", ".html"), ("tables (CSV)", ".zip")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name).click()
        assert waiting.value.suggested_filename == f"{FREE}{ending}"
        waiting.value.save_as(tmp_path / "file")
        assert (tmp_path / "file").stat().st_size > 1000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_problem(browser: "Browser", site: Site, theme: Theme) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=theme, viewport={"width": 1280, "height": 900})
    compare = f"/compare?run={FREE}&run={CONSTRAINED}"
    review = f"/runs/{FREE}/review"
    for address in (
        "/runs",
        f"/runs/{FREE}",
        f"/runs/{FREE}/cases/case_3",
        compare,
        "/studies",
        review,
        f"{review}?queue=all",
    ):
        page.goto(site.address + address)
        found = Axe().run(page).response["violations"]
        assert [_told(each) for each in found if each["impact"] in ("serious", "critical")] == [], address
    page.close()


def _told(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {violation['nodes'][0]['html'][:200]} {violation['nodes'][0].get('failureSummary')}"


def test_a_page_is_read_on_a_phone(browser: "Browser", site: Site) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    for address in ("/runs", f"/runs/{FREE}", f"/runs/{FREE}/cases/case_7", f"/compare?run={FREE}&run={CONSTRAINED}"):
        page.goto(site.address + address)
        page.wait_for_load_state()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, address
    page.close()
