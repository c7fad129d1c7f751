"""The browser tools in a real Chromium: what is shown, what is refused, and what attempts don't share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentbench.core.errors import AttemptError, UserError
from agentbench.tools import opened_toolbox
from agentbench.tools.browser import BrowserConfig, BrowserSource, installed_browser
from tests.fakes import a_case

pytestmark = pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")

PAGE = """<!doctype html><title>Start</title><body onscroll="more.hidden = false"><p>Hello, <b>you</b>.</p>
<a href="other.html">The other page</a> <a href="https://example.org/">Away</a>
<button onclick="visits.textContent = localStorage.n = 1 + Number(localStorage.n || 0)">Count</button>
<button>Reply to Ann</button><button>Reply to Bob</button><button hidden>Secret</button>
<p id="visits" class="box">none</p><p hidden id="more">Shown after scrolling</p><div style="height: 3000px"></div>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(PAGE, encoding="utf-8")
    long = "word " * 200
    (tmp_path / "site" / "other.html").write_text(f"<!doctype html><title>Other</title>{long}end", encoding="utf-8")
    return tmp_path


@pytest.fixture
async def browser(site: Path) -> AsyncIterator[BrowserSource]:
    async with BrowserSource(BrowserConfig(part_chars=400, timeout_s=5), site) as source:
        yield source


async def test_a_page_is_shown_with_what_can_be_clicked(browser: BrowserSource) -> None:
    async with opened_toolbox([browser], a_case()) as tools:
        assert [spec.name for spec in tools.specs] == ["open", "click", "read", "scroll", "back"]
        shown = str((await tools.call("open", {"url": "/index.html"})).result)
        assert shown.startswith("[Start at /index.html, part 1 of 1]\nHello, you.")
        assert shown.endswith("[can be clicked: The other page | Away | Count | Reply to Ann | Reply to Bob]")
        assert "Shown after" not in shown
        assert "Shown after scrolling" in str((await tools.call("scroll", {"direction": "down"})).result)
        other = str((await tools.call("click", {"target": "other page"})).result)
        assert other.startswith("[Other at /other.html, part 1 of 3]\nword word")
        assert "end" in str((await tools.call("read", {"part": 3})).result)
        assert "there is no part 4" in str((await tools.call("read", {"part": 4})).error)
        assert str((await tools.call("back", {})).result).startswith("[Start at /index.html")


async def test_what_can_not_be_clicked_or_opened_says_why(browser: BrowserSource) -> None:
    async with opened_toolbox([browser], a_case()) as tools:
        await tools.call("open", {"url": "index.html"})
        assert "several things have the text 'reply'" in str((await tools.call("click", {"target": "reply"})).error)
        assert "no link or button has the text 'Secret'" in str((await tools.call("click", {"target": "Secret"})).error)
        assert "no link or button has the text '#gone'" in str((await tools.call("click", {"target": "#gone"})).error)
        assert "Start" in str((await tools.call("click", {"target": "#visits"})).result)
        assert "there is no page '/gone.html'" in str((await tools.call("open", {"url": "/gone.html"})).error)
        for url in (
            "https://example.org/",
            "file:///etc/passwd",
            "//example.org/",
            "data:text/html,x",
            "http://127.0.0.1:1/",
        ):
            assert "is not on this site" in str((await tools.call("open", {"url": url})).error), url


async def test_a_link_that_leads_away_is_not_followed(browser: BrowserSource) -> None:
    async with opened_toolbox([browser], a_case()) as tools:
        await tools.call("open", {"url": "index.html"})
        await tools.call("click", {"target": "Away"})
        shown = str((await tools.call("open", {"url": "index.html"})).result)
        assert shown.startswith("[Start at /index.html")


async def test_attempts_do_not_share_what_a_page_stores(browser: BrowserSource) -> None:
    for _ in range(2):
        async with opened_toolbox([browser], a_case()) as tools:
            await tools.call("open", {"url": "index.html"})
            assert "\n1\n" in str((await tools.call("click", {"target": "Count"})).result)
            await tools.call("open", {"url": "index.html"})
            assert "\n2\n" in str((await tools.call("click", {"target": "Count"})).result)


async def test_a_browser_that_dies_breaks_its_attempt_and_is_started_again(browser: BrowserSource) -> None:
    async with opened_toolbox([browser], a_case()) as tools:
        await tools.call("open", {"url": "index.html"})
        assert browser._browser is not None
        await browser._browser.close()
        with pytest.raises(AttemptError, match="the browser process has ended"):
            await tools.call("read", {})
    async with opened_toolbox([browser], a_case()) as tools:
        assert (await tools.call("open", {"url": "index.html"})).error is None


async def test_a_browser_that_is_not_there_is_said_at_the_start(site: Path) -> None:
    with pytest.raises(UserError, match="there is no browser '/no/such/browser'"):
        async with BrowserSource(BrowserConfig(executable="/no/such/browser"), site):
            pass
    with pytest.raises(UserError, match="there is no directory"):
        BrowserSource(BrowserConfig(site=Path("gone")), site)
