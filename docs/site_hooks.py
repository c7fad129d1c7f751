"""The site has the tree of the repository: a link between two files is the same on both. No page loads from outside."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "results/benchmarks/**/*.md")
LINKED = (
    "LICENSE",
    "docs/images/*.png",
    "docs/ci/*",
    "docs/examples/*",
    "docs/notes/*.py",
    "docs/assets/*",
    "tests/tuners/proposals/test_leaks.py",
)
LOADS = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?https?:|<link\b[^>]*\bhref=["']?https?:|url\(["']?https?:"""
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's own files, and those of the repository under their paths in it."""
    kept = [file for file in files if file.src_dir != config.docs_dir]
    paths = {path for pattern in (*PAGES, *LINKED) for path in ROOT.glob(pattern) if path.is_file()}
    added = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)) for path in sorted(paths)
    ]
    return Files(kept + added)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuses a site that fetches anything from another host when it is read."""
    site = Path(config.site_dir)
    texts = [path for path in sorted(site.rglob("*")) if path.suffix in {".html", ".css"}]
    loading = [str(path) for path in texts if LOADS.search(path.read_text(encoding="utf-8"))]
    if loading:
        raise PluginError(f"these pages load from another host: {', '.join(loading)}")
