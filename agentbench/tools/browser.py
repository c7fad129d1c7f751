"""The `browser` tool source: Chromium, driven by Playwright, on the suite's own site.

The public methods of a page are the tools. A thread of this process serves the site's directory on the loopback.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case
from agentbench.core.errors import AttemptError, UserError
from agentbench.extras import install_hint
from agentbench.tools.toolkit import ToolkitSession

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright, Route

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

ARGUMENTS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""No background service of the browser may use the network or keep running beside the attempts."""


class BrowserConfig(BaseModel):
    """Options of the `browser` tool source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: Path = Field(Path("site"), description="The directory that is served, from the suite's directory.")
    executable: str | None = Field(None, description="A Chromium or Chrome; the one that is installed by default.")
    part_chars: int = Field(4000, ge=200, description="Characters of a page's text that are shown at once.")
    timeout_s: float = Field(10.0, gt=0, description="Seconds that opening or clicking may take.")


class BrowserSource:
    """One browser and one served site per run; each attempt has its own context (cookies, storage, one page).

    Only the site is reachable: any other request of a page or an agent is refused.
    """

    Config = BrowserConfig

    def __init__(self, config: BrowserConfig, root: Path) -> None:
        self._config = config
        self._root = root / config.site
        if not self._root.is_dir():
            raise UserError(f"browser: site = {str(config.site)!r}: there is no directory {self._root}")
        self._held = AsyncExitStack()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._launching = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._playwright = await stack.enter_async_context(_playwright())
            self._site = stack.enter_context(StaticSite(self._root))
            stack.push_async_callback(self._close)
            await self._running()
            self._held = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator[ToolkitSession]:
        browser = await self._running()
        context = await browser.new_context(accept_downloads=False, service_workers="block", locale="en-US")
        try:
            context.set_default_timeout(self._config.timeout_s * 1000)
            await context.route(lambda url: not url.startswith(self._site.url + "/"), _refuse)
            page = BrowserPage(await context.new_page(), self._site.url, self._config.part_chars)
            yield ToolkitSession(page, ("*",), ())
        finally:
            if browser.is_connected():
                await context.close()

    async def _running(self) -> "Browser":
        """The run's browser; it is restarted after a crash."""
        assert self._playwright is not None, "the source is entered before its sessions"
        async with self._launching:
            if self._browser is None or not self._browser.is_connected():
                self._browser = await _launched(self._playwright, self._config.executable)
            return self._browser

    async def _close(self) -> None:
        if self._browser is not None and self._browser.is_connected():
            await self._browser.close()


@asynccontextmanager
async def _playwright() -> AsyncIterator["Playwright"]:
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise UserError(f"the browser needs the package playwright: {install_hint('browser')}") from None
    async with async_playwright() as playwright:
        yield playwright


async def _launched(playwright: "Playwright", executable: str | None) -> "Browser":
    from playwright.async_api import Error

    program = executable or installed_browser() or playwright.chromium.executable_path
    if not Path(program).is_file():
        raise UserError(
            f"browser: there is no browser {program!r}. Install one (apt install chromium, or"
            " playwright install chromium), or name yours with executable: PATH"
        )
    arguments = [
        *ARGUMENTS,
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]  # as root, Chromium refuses to start with its sandbox
    try:
        return await playwright.chromium.launch(executable_path=program, args=arguments)
    except Error as error:
        raise UserError(f"browser: {program} does not start: {error.message.splitlines()[0]}") from None


def installed_browser() -> str | None:
    """The path of a Chromium or Chrome on the search path."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


async def _refuse(route: "Route") -> None:
    await route.abort("blockedbyclient")


if TYPE_CHECKING:
    from playwright.async_api import Locator, Page


class StaticSite:
    """Serves the files under `root` on a free port between enter and exit; `url` has no trailing slash."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        assert self._server is not None, "the site is entered before it is asked for"
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(self._root)))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Files(SimpleHTTPRequestHandler):
    """Serves files only: no directory listings, and no log of requests."""

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        return None


CLICKABLE = "a[href], button, summary, input[type=button], input[type=submit], [role=button], [role=link], [role=tab]"
NAMES = """elements => elements.map(e => !e.checkVisibility() || e.disabled ? null
  : (e.getAttribute("aria-label") || e.innerText || e.value || "").trim().replace(/\\s+/g, " "))"""
SHOWN = 60


class PageError(Exception):
    """An action on the page is impossible; the message is for the model."""


class BrowserPage:
    """An attempt's page on one site. Every action returns the page as it is afterwards."""

    def __init__(self, page: "Page", site: str, part_chars: int) -> None:
        self._page = page
        self._site = site
        self._part_chars = part_chars

    async def open(self, url: str) -> str:
        """Open a page of the site and show its text.

        Args:
            url: An address of the site, such as /index.html
        """
        address = urljoin(self._site + "/", url.strip())
        if _origin(address) != self._site:
            raise PageError(f"{url!r} is not on this site: only its own pages can be opened, for example /index.html")
        response = await self._done(self._page.goto(address))
        if response is not None and response.status >= 400:
            raise PageError(f"there is no page {url!r} (status {response.status})")
        return await self.read()

    async def click(self, target: str) -> str:
        """Click a link or a button and show the page.

        Args:
            target: Its text, or a CSS selector such as #id or .class
        """
        await self._done((await self._found(target)).click())
        await self._done(self._page.wait_for_load_state())
        return await self.read()

    async def read(self, part: int = 1) -> str:
        """Show the text of the page as it is now, and what can be clicked.

        Args:
            part: A long text is shown in parts; the first is 1.
        """
        text = str(await self._done(self._page.locator("body").inner_text()))
        parts = [text[at : at + self._part_chars] for at in range(0, len(text), self._part_chars)] or [""]
        if not 1 <= part <= len(parts):
            raise PageError(f"there is no part {part}: the text has {len(parts)}")
        names = [name for name in dict.fromkeys(await self._names()) if name]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        title, address = await self._done(self._page.title()), self._page.url.removeprefix(self._site)
        clickable = f"[can be clicked: {' | '.join(names[:SHOWN]) or 'nothing'}{more}]"
        return f"[{title} at {address}, part {part} of {len(parts)}]\n{parts[part - 1]}\n{clickable}"

    async def scroll(self, direction: Literal["down", "up"] = "down") -> str:
        """Scroll by one screen, for pages that show more then, and show the page.

        Args:
            direction: down or up
        """
        sign = 1 if direction == "down" else -1
        await self._done(self._page.evaluate(f"scrollBy(0, {sign} * innerHeight)"))
        await self._done(self._page.evaluate("new Promise(done => requestAnimationFrame(() => done()))"))
        return await self.read()

    async def back(self) -> str:
        """Go back to the page before and show it."""
        before = self._page.url
        await self._done(self._page.go_back())
        if _origin(self._page.url) != self._site:
            await self._done(self._page.goto(before))
            raise PageError("there is no page before this one")
        return await self.read()

    async def _found(self, target: str) -> "Locator":
        """The element with this text, otherwise the selector's first match."""
        index = _one_of(target, await self._names())
        if isinstance(index, int):
            return self._page.locator(CLICKABLE).nth(index)
        if target[:1] in ("#", ".", "["):
            found = self._page.locator(target)
            if await self._done(found.count()):
                return found.first
        raise PageError(index)

    async def _names(self) -> list[str | None]:
        """The clickable elements' names in page order; None for an invisible one."""
        names: list[str | None] = await self._done(self._page.locator(CLICKABLE).evaluate_all(NAMES))
        return names

    async def _done(self, work: Any) -> Any:
        """The result of `work`. A browser error is the call's error; a browser that is gone ends the attempt."""
        from playwright.async_api import Error

        try:
            return await work
        except Error as error:
            reason = error.message.splitlines()[0]
            if self._page.is_closed():
                raise AttemptError("tool", f"the browser process has ended: {reason}") from None
            raise PageError(reason) from None


def _one_of(target: str, names: list[str | None]) -> int | str:
    """The index of the matching name: the first equal one, else the only one that contains the text; otherwise why none
    matches.
    """
    wanted = " ".join(target.split()).casefold()
    folded = [None if name is None else name.casefold() for name in names]
    if wanted in folded:
        return folded.index(wanted)
    near = [index for index, name in enumerate(folded) if name is not None and wanted and wanted in name]
    if len({folded[index] for index in near}) == 1:
        return near[0]
    choices = " | ".join(dict.fromkeys(name for name in names if name)) or "nothing"
    why = "several things have" if near else "no link or button has"
    return f"{why} the text {target!r}; can be clicked: {choices}"


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
