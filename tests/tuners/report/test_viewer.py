"""A study in the viewer: its page, its tags and note, its line in the list."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agentbench.store import Store, open_store
from agentbench.tools.browser import ARGUMENTS, installed_browser
from agentbench.web.app import make_app
from agentbench.web.viewer import viewer_of
from tests.web.conftest import serving
from tests.web.test_numbers import checked


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned_once: Path) -> str:
    """A store with a study."""
    monkeypatch.chdir(tmp_path)
    return str(shutil.copy(tuned_once / "a.db", tmp_path / "a.db"))


@pytest.fixture
def tuned(db: str) -> Iterator[Store]:
    with open_store(db) as store:
        yield store


@pytest.fixture
def client(tuned: Store, db: str) -> Iterator[TestClient]:
    viewer = viewer_of(tuned, db, reviewer="ann")
    with TestClient(make_app(viewer), base_url="http://localhost", follow_redirects=False) as client:
        yield client


def test_numbers_are_those_of_the_command_line(client: TestClient, db: str) -> None:
    assert {number.path for number in checked(db, client.get("/studies").text)} == {("candidates",), ("search_s",)}
    assert ("candidates", 0, "quality") in {number.path for number in checked(db, client.get("/studies/toy").text)}


def test_the_page_is_built_once_until_the_study_changes(
    client: TestClient, tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/studies/toy")
    built: list[str] = []
    monkeypatch.setattr("tuners.report.page.study_page", lambda view, store: built.append(view.record.name))
    assert client.get("/studies/toy").text == first.text
    assert built == []
    tuned.studies.keep_seconds("toy", 1e6)
    with pytest.raises(AttributeError):  # the replaced function returns no page
        client.get("/studies/toy")
    assert built == ["toy"]


def test_the_runs_of_a_study_are_listed_only_through_its_link(client: TestClient) -> None:
    assert "study:toy" not in client.get("/runs").text
    link = re.search(r'<a href="([^"]+)">its runs</a>', client.get("/studies/toy").text)
    assert link is not None
    assert "study:toy" in client.get(link[1].replace("&amp;", "&")).text


def test_tags_and_a_note_are_stored(client: TestClient, tuned: Store) -> None:
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/studies/toy").text)
    assert csrf is not None
    sent: list[dict[str, Any]] = [{"tag": "<b>publish"}, {"note": "<i>good"}]
    for form in sent:
        assert client.post("/studies/toy/annotate", data={"csrf": csrf[1], **form}).status_code == 303
    assert client.post("/studies/toy/annotate", data={"csrf": "guess", "tag": "x"}).status_code == 403
    assert client.post("/studies/absent/annotate", data={"csrf": csrf[1], "tag": "x"}).status_code == 404
    page = client.get("/studies/toy").text
    assert ("&lt;b&gt;publish" in page, "&lt;i&gt;good" in page) == (True, True)
    assert ("<b>publish" in page, "<i>good" in page) == (False, False)
    assert 'href="/studies/toy"' in client.get("/studies?tag=%3Cb%3Epublish").text
    assert "No study matches" in client.get("/studies?q=absent").text
    assert client.post("/studies/toy/annotate", data={"csrf": csrf[1], "untag": "<b>publish"}).status_code == 303
    assert tuned.studies.notes.all_tags() == []
    reader = TestClient(make_app(viewer_of(tuned)), base_url="http://localhost")
    assert "&lt;i&gt;good" in reader.get("/studies/toy").text
    assert "<form method=" not in reader.get("/studies/toy").text


def test_strange_queries_are_no_error(client: TestClient) -> None:
    for query in ("page=-1", "page=99999999", "sort=nonsense", "q=%00", "q=%25_", "order=x", "status=nonsense"):
        assert client.get(f"/studies?{query}").status_code == 200, query


@pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_problem(tuned: Store, db: str, theme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with serving(tuned, db) as address, sync_playwright() as playwright:
        arguments = [*ARGUMENTS, "--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=arguments)
        page = browser.new_page(color_scheme=theme, viewport={"width": 1280, "height": 900})
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        for path in ("/studies", "/studies/toy"):
            page.goto(address + path)
            page.wait_for_load_state()
            violations = Axe().run(page).response["violations"]
            serious = [each for each in violations if each["impact"] in ("serious", "critical")]
            assert [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in serious] == [], path
        page.locator("#front .main-svg").first.wait_for()
        browser.close()
        assert wrong == []
