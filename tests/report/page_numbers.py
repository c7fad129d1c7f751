"""Reads the numbers of a page, each with its path in the page's JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from agentbench.report.html import FORMS, lookup

VOID = {"br", "meta", "link", "input", "img", "hr"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a page. `document` names the JSON of its `path`: the `data-*` attributes around it."""

    document: tuple[tuple[str, str], ...]
    path: tuple[str | int, ...]
    form: str
    value: Any
    text: str


class _Numbers(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Number] = []
        self.open: list[tuple[str, dict[str, str]]] = []
        self.reading: tuple[dict[str, str], list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append((tag, attributes))
        if tag == "data" and "data-path" in attributes:
            self.reading = (attributes, [])

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass
        if tag == "data" and self.reading:
            attributes, words = self.reading
            path = tuple(json.loads(attributes["data-path"]))
            value = json.loads(attributes["value"])
            self.found.append(Number(self._document(), path, attributes["data-form"], value, "".join(words)))
            self.reading = None

    def handle_data(self, data: str) -> None:
        if self.reading:
            self.reading[1].append(data)

    def _document(self) -> tuple[tuple[str, str], ...]:
        around: dict[str, str] = {}
        for _, attributes in self.open:
            around |= {name: value for name, value in attributes.items() if name.startswith("data-")}
        names = ("data-document", "data-run", "data-case", "data-repeat")
        return tuple((name, around[name]) for name in names if name in around)


def numbers(html: str) -> list[Number]:
    reader = _Numbers()
    reader.feed(html)
    return reader.found


def check(found: Number, document: Mapping[str, Any]) -> None:
    """Asserts that the number equals the JSON's value, and that its text is formatted by its form."""
    expected = lookup(json.loads(json.dumps(document, default=str)), found.path)
    assert found.value == expected, found
    assert found.text == FORMS[found.form](expected), found
