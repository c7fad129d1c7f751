"""The `browser` tool source: Chromium, driven by Playwright, on the suite's own site, served on the loopback."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field

from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.extras import install_hint
from agentbench.tools.browser_page import BrowserPage, StaticSite
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
