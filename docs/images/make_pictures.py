"""Makes the pictures of docs/images from real runs of the bundled model.

    make demo && python docs/images/make_pictures.py

Takes the four newest runs of the store (those that `make demo` made), or the runs that are named, and the newest study
where there is one. Pictures are of the head of the runs' page (README's first), of the viewer, each in light and in
dark, and of the study's file.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from agentbench.store import open_store
from agentbench.tools.browser import ARGUMENTS, installed_browser

HERE = Path(__file__).parent
WIDTH, HEIGHT, TALL = 1280, 860, 1950
NARROW = 900
"""The width of README's first picture, which stands in a column of text."""

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def newest_study(db: str | None) -> str | None:
    with open_store(db, create=False) as store:
        return next(iter(store.studies.names()), None)


def pages(db: str | None, names: Sequence[str], study: str | None) -> dict[str, str]:
    """The viewer's pages by the name of their picture."""
    with open_store(db, create=False) as store:
        runs = [store.get_run(name) for name in names]
        newest = runs[-1]
        case = store.verdicts(newest.id)[0][0]
    found = {
        "runs": "/runs",
        "run": f"/runs/{newest.id}",
        "transcript": f"/runs/{newest.id}/cases/{case}",
        "compare": f"/compare?{'&'.join(f'run={run.id}' for run in runs)}",
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
    for theme in THEMES:
        pictured(browser, f"{name}-{theme}.png", address, theme, HEIGHT)


def head_taken(browser: Browser, name: str, address: str) -> None:
    """The page from its top to the end of its first table, at twice the size, in both themes."""
    for theme in THEMES:
        page = browser.new_page(color_scheme=theme, viewport={"width": NARROW, "height": HEIGHT}, device_scale_factor=2)
        page.goto(address)
        page.wait_for_timeout(1000)  # Plotly draws
        table = page.locator("[data-document=runs]").first.bounding_box()
        assert table is not None
        head = {"x": 0.0, "y": 0.0, "width": float(NARROW), "height": table["y"] + table["height"] + 8}
        page.screenshot(path=HERE / f"{name}-{theme}.png", clip=head, full_page=True)
        page.close()
        print(f"{name}-{theme}.png")


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
    options.add_argument("runs", nargs="*", default=["latest~3", "latest~2", "latest~1", "latest"])
    chosen = options.parse_args()
    db, runs = chosen.db, chosen.runs
    study = newest_study(db)
    with sync_playwright() as playwright, viewer(db) as address, tempfile.TemporaryDirectory() as directory:
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=[*ARGUMENTS, "--no-sandbox"])
        head_taken(browser, "demo", written(Path(directory) / "demo.html", db, "compare", *runs))
        for name, path in pages(db, runs, study).items():
            taken(browser, name, address + path)
        if study:
            file = written(Path(directory) / "study.html", db, "study", study)
            pictured(browser, "study.png", file, "light", TALL)
        browser.close()


if __name__ == "__main__":
    main()
