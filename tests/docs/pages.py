"""The examples of a documentation page, as files that a reader would save."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, in the order of the page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def register(folder: Path, page: str) -> None:
    """Installs the page's entry points: a distribution in `folder`, which has to be on the path."""
    [entries] = blocks(page, "toml")
    found = folder / "example-1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.4\nName: example\nVersion: 1\n")
    group = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", entries)
    (found / "entry_points.txt").write_text(re.sub(r'= "(.*)"', r"= \1", group))
