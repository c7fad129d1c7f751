"""The numbers of a page, with where each stands in the JSON of the same thing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from agentbench.report.traced_number import FORMS, lookup

VOID = {"br", "meta", "link", "input", "img", "hr"}


@dataclass(frozen=True, slots=True)
class Number:
    """`document` is what the nearest element around it says its path begins in: `data-*` by name."""

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
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append((tag, given))
        if tag == "data" and "data-path" in given:
            self.reading = (given, [])

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass
        if tag == "data" and self.reading:
            given, words = self.reading
            path = tuple(json.loads(given["data-path"]))
            value = json.loads(given["value"])
            self.found.append(Number(self._document(), path, given["data-form"], value, "".join(words)))
            self.reading = None

    def handle_data(self, data: str) -> None:
        if self.reading:
            self.reading[1].append(data)

    def _document(self) -> tuple[tuple[str, str], ...]:
        around: dict[str, str] = {}
        for _, given in self.open:
            around |= {name: value for name, value in given.items() if name.startswith("data-")}
        names = ("data-document", "data-run", "data-case", "data-repeat")
        return tuple((name, around[name]) for name in names if name in around)


def numbers(html: str) -> list[Number]:
    reader = _Numbers()
    reader.feed(html)
    return reader.found


def check(found: Number, document: Mapping[str, Any]) -> None:
    """The number is the JSON's, and is written as its form writes it."""
    expected = lookup(json.loads(json.dumps(document, default=str)), found.path)
    assert found.value == expected, found
    assert found.text == FORMS[found.form](expected), found
