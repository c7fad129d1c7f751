"""Makes the pictures of docs/images from real runs of the bundled model.

    make demo && python docs/images/make_pictures.py

Takes the two newest runs of the store (those that `make demo` made), and the newest study where there is one.
Pictures are of the viewer and of the report of both runs, each in light and in dark, and of the study's file.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from agentbench.store import open_store
from agentbench.tools.browser import ARGUMENTS, installed_browser

HERE = Path(__file__).parent
WIDTH, HEIGHT, TALL = 1280, 860, 1950


def newest_study(db: str | None) -> str | None:
    with open_store(db, create=False) as store:
        return next(iter(store.studies.names()), None)


def pages(db: str | None, study: str | None) -> dict[str, str]:
    """The viewer's pages by the name of their picture."""
    with open_store(db, create=False) as store:
        newest, before = store.get_run("latest"), store.get_run("latest~1")
        case = store.verdicts(newest.id)[0][0]
    found = {
        "runs": "/runs",
        "run": f"/runs/{newest.id}",
        "transcript": f"/runs/{newest.id}/cases/{case}",
        "compare": f"/compare?run={before.id}&run={newest.id}",
        "history": f"/suites/{newest.suite}",
        "review": f"/runs/{newest.id}/review?queue=all",
    }
    return {**found, "studies": "/studies", "study-page": f"/studies/{study}"} if study else found


@contextmanager
def viewer(db: str | None) -> Iterator[str]:
    command = [sys.executable, "-m", "agentbench", "ui", "--port", "0", "--review", "--reviewer", "you"]
    command += ["--db", db] if db else []
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"http://[\d.]+:\d+", process.stderr.readline())
        assert found, "the viewer did not say where it is"
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def written(path: Path, db: str | None, *command: str) -> str:
    """The address of the page that the command writes."""
    store = ["--db", db] if db else []
    subprocess.run([sys.executable, "-m", "agentbench", *command, "--html", str(path), *store], check=True)
    return path.as_uri()


def taken(browser: Browser, name: str, address: str) -> None:
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for theme in themes:
        pictured(browser, f"{name}-{theme}.png", address, theme, HEIGHT)


def pictured(browser: Browser, name: str, address: str, theme: Literal["light", "dark"], height: int) -> None:
    page = browser.new_page(color_scheme=theme, viewport={"width": WIDTH, "height": height})
    page.goto(address)
    page.wait_for_timeout(1000)  # Plotly draws
    page.screenshot(path=HERE / name)
    page.close()
    print(name)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--db", default=None)
    db = options.parse_args().db
    study = newest_study(db)
    with sync_playwright() as playwright, viewer(db) as address, tempfile.TemporaryDirectory() as directory:
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=[*ARGUMENTS, "--no-sandbox"])
        taken(browser, "report", written(Path(directory) / "report.html", db, "report", "latest~1", "latest"))
        for name, path in pages(db, study).items():
            taken(browser, name, address + path)
        if study:
            file = written(Path(directory) / "study.html", db, "study", study)
            pictured(browser, "study.png", file, "light", TALL)
        browser.close()


if __name__ == "__main__":
    main()
