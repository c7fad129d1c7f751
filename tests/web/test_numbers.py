"""Every number on a page is that of the command line's --json for the same thing."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agentbench.cli.app import app
from agentbench.store import open_store
from tests.report.page_numbers import Number, check, numbers
from tests.report.runs import fill
from tests.web.conftest import CONSTRAINED, FREE


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smaller than the other tests' store: the command line is asked about each attempt on a page."""
    path = tmp_path_factory.mktemp("filled") / "a.db"
    with open_store(str(path)) as store:
        fill(store, cases=20)
    return path


Documents = dict[tuple[tuple[str, str], ...], Any]


def cli(db: str, *arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json", "--db", db])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def document_of(db: str, number: Number, known: Documents) -> Any:
    """What the command line says of what the number is part of."""
    if number.document not in known:
        named = dict(number.document)
        kind, run = named["data-document"], named.get("data-run", "")
        if kind == "run":
            known[number.document] = cli(db, "show", run)
        elif kind == "summary":
            known[number.document] = next(each for each in cli(db, "runs") if each["id"] == run)
        elif kind == "study-summary":
            known[number.document] = next(each for each in cli(db, "studies") if each["name"] == run)
        elif kind == "study":
            known[number.document] = cli(db, "study", run)
        elif kind == "attempt":
            where = ("--case", named["data-case"], "--repeat", named["data-repeat"])
            known[number.document] = cli(db, "show", run, *where)
        elif kind == "agreement":
            known[number.document] = cli(db, "agreement", run)
        else:
            known[number.document] = cli(db, "report", FREE, CONSTRAINED)
    return known[number.document]


def checked(db: str, html: str) -> list[Number]:
    known: Documents = {}
    found = numbers(html)
    for number in found:
        check(number, document_of(db, number, known))
    assert unexplained(html) == []
    return found


class _Cells(HTMLParser):
    """Digits in the cells of tables, outside of <data> and of what is a name or a date."""

    def __init__(self) -> None:
        super().__init__()
        self.cell: Mapping[str, str] | None = None
        self.data = 0
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "td":
            self.cell = {name: value or "" for name, value in attrs}
        self.data += tag == "data"

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.cell = None
        self.data -= tag == "data"

    def handle_data(self, data: str) -> None:
        if self.cell is not None and not self.data and self.cell.get("class") not in ("text", "name"):
            self.found += re.findall(r"\d[\d.,]*", data)


def unexplained(html: str) -> list[str]:
    """Numbers in cells for numbers that say not where they come from; a repeat's number is its name."""
    reader = _Cells()
    reader.feed(re.sub(r"<td>\d+</td><td class=\"text\"><span class=\"mark", '<td class="text">', html))
    return reader.found


def test_the_list_of_runs(client: TestClient, db: str) -> None:
    assert len(checked(db, client.get("/runs").text)) == 2 * 4


@pytest.mark.long
@pytest.mark.parametrize("run", [FREE, CONSTRAINED])
def test_a_run(client: TestClient, db: str, run: str) -> None:
    found = checked(db, client.get(f"/runs/{run}").text)
    paths = {number.path for number in found}
    assert {
        ("accuracy",),
        ("accuracy_low",),
        ("ttft_p95_s",),
        ("agent_goodput_per_s",),
        ("figures", "agent_s"),
    } <= paths


def test_an_attempt(client: TestClient, db: str) -> None:
    found = checked(db, client.get(f"/runs/{FREE}/cases/case_7?repeat=0").text)
    assert ("attempt", "trace", "steps", 0, "ttft_s") in {number.path for number in found}


@pytest.mark.long
def test_two_runs(client: TestClient, db: str) -> None:
    page = client.get(f"/compare?{urlencode([('run', FREE), ('run', CONSTRAINED)])}").text
    paths = {number.path for number in checked(db, page)}
    assert {("comparisons", 0, "accuracy", "difference"), ("p_adjusted", 0, "pass_rate")} <= paths


def test_the_agreement(client: TestClient, db: str) -> None:
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get(f"/runs/{FREE}").text)
    assert csrf is not None
    for case, verdict in (("case_0", "pass"), ("case_1", "fail"), ("case_2", "pass")):
        body = {"csrf": csrf[1], "case": case, "repeat": "0", "verdict": verdict}
        assert client.post(f"/runs/{FREE}/review/label?queue=all", data=body).status_code == 303
    found = checked(db, client.get(f"/runs/{FREE}/agreement").text)
    assert [number.value for number in found if number.path == ("labelled",)] == [3]


@pytest.mark.long
def test_reports_in_one_file(client: TestClient, db: str, tmp_path: Path) -> None:
    known: Documents = {}
    for names in ([FREE], [FREE, CONSTRAINED]):
        known.pop((), None)  # that of the runs compared; the others are the same again
        path = tmp_path / "page.html"
        result = CliRunner().invoke(app, ["report", *names, "--html", str(path), "--db", db])
        assert result.exit_code == 0, result.output
        html = re.sub(r"<script.*?</script>", "", path.read_text(), flags=re.DOTALL)
        for number in numbers(html):
            around = dict(number.document)
            if around["data-document"] == "runs":
                if () not in known:
                    known[()] = cli(db, "report", *names)
                document = known[()]
            else:
                named = {"data-run": FREE, **around}
                document = document_of(db, _named(number, named), known)
            check(number, document)
        assert unexplained(html) == []


def _named(number: Number, named: Mapping[str, str]) -> Number:
    return Number(tuple(sorted(named.items())), number.path, number.form, number.value, number.text)
