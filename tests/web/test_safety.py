"""What a model, a tool or a stranger's page may do with the viewer: nothing."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from agentbench.store import Store
from agentbench.web.app import make_app
from agentbench.web.viewer import viewer_of
from tests.report.runs import a_case, a_run, an_attempt
from tests.web.conftest import CONSTRAINED, FREE

MARKUP = "</pre></script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
HOSTILE = f"{MARKUP}\u202e\x1b[31m\x00" + "x" * 1_000_000
PAGES = ("/runs", f"/runs/{FREE}", f"/runs/{FREE}/cases/case_7", "/studies", f"/runs/{FREE}/agreement", "/nowhere")


@pytest.fixture
def hostile(store: Store, db: str) -> Iterator[TestClient]:
    """A run in which everything that is not ours is hostile."""
    run = replace(a_run("hostile-1", MARKUP, 1, MARKUP), suite=MARKUP, environment={"a": MARKUP}, status="running")
    run = replace(run, case_ids=(f"case/{MARKUP}",))
    store.create_run(run)
    attempt = an_attempt(0, right=False, ttft_ms=100)
    scores = tuple(replace(score, reason=HOSTILE, name=MARKUP) for score in attempt.scores)
    steps = (
        replace(attempt.trace.model_calls[0], reply={"role": MARKUP, "content": HOSTILE}),
        replace(attempt.trace.tool_calls[0], name=MARKUP, arguments={MARKUP: HOSTILE}, result=HOSTILE),
    )
    told = replace(attempt, case_id=f"case/{MARKUP}", scores=scores, trace=replace(attempt.trace, steps=steps))
    case = replace(a_case(0), id=told.case_id, messages=({"role": "user", "content": HOSTILE},), expected=HOSTILE)
    store.add_attempt(run.id, told, case)
    store.notes.add_tag(run.id, "<b>tag</b>")
    store.notes.set_note(run.id, MARKUP)
    with TestClient(make_app(viewer_of(store, db, reviewer=MARKUP[:40])), base_url="http://localhost") as client:
        yield client


def test_what_others_wrote_is_text(hostile: TestClient) -> None:
    case = re.search(r'href="(/runs/hostile-1/cases/[^"]+)"', hostile.get("/runs/hostile-1").text)
    assert case is not None
    compare = f"/compare?run=hostile-1&run={FREE}"
    review = "/runs/hostile-1/review"
    for address in ("/runs", "/runs/hostile-1", case[1], compare, review, f"{review}?queue=all", "/runs?q=<img>"):
        answer = hostile.get(address)
        assert answer.status_code == 200, address
        page = answer.text
        assert "<script>document" not in page
        assert "<img" not in page
        assert "<b>tag" not in page
        assert not set(page) & {"\u202e", "\x1b", "\x00"}, address
        assert len(page) < 500_000, address


@pytest.mark.parametrize("address", PAGES)
def test_a_browser_may_do_nothing_but_show_it(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("address", PAGES[:5])
def test_no_page_has_a_script_of_its_own(client: TestClient, address: str) -> None:
    page = client.get(address).text
    scripts = re.findall(r"<script([^>]*)>", page)
    assert all('src="/static/' in each or 'type="application/json"' in each for each in scripts)
    assert not re.search(r"\son\w+=", re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL))


def test_it_answers_under_its_own_names_only(client: TestClient) -> None:
    assert client.get("/runs", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/runs", headers={"host": "localhost:8765"}).status_code == 200
    assert client.get("/runs", headers={"host": "[::1]:8765"}).status_code == 200


def test_who_does_not_know_the_token_sees_nothing(store: Store, db: str) -> None:
    app = make_app(viewer_of(store, db), hosts=None, token="secret")
    with TestClient(app, base_url="http://bench.example", follow_redirects=False) as client:
        assert client.get("/runs").status_code == 401
        assert client.get("/static/viewer.js").status_code == 401
        assert client.get("/runs?token=wrong").status_code == 401
        assert client.get("/runs", headers={"authorization": "Bearer secret"}).status_code == 200
        answer = client.get("/runs?token=secret&q=a")
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs?q=a")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/runs").status_code == 200


def test_a_label_has_to_come_from_its_own_page(client: TestClient, store: Store) -> None:
    address = f"/runs/{FREE}/review/label?queue=all"
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(f"/runs/{FREE}/review?queue=all").text)
    assert found is not None
    body = {"case": "case_0", "repeat": "0", "verdict": "pass"}
    assert client.post(address, data=body).status_code == 403
    assert client.post(address, data={**body, "csrf": "guess"}).status_code == 403
    right = {**body, "csrf": found[1]}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post(address, data=right, headers=headers).status_code == 403
    assert store.labels(FREE) == []
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert client.post(address, data=right, headers=own).status_code == 303
    assert [label.case_id for label in store.labels(FREE)] == ["case_0"]


def test_without_review_nothing_can_be_written(reader: TestClient, store: Store) -> None:
    page = reader.get(f"/runs/{FREE}").text
    assert "read-only" in page
    assert "<form method=" not in page
    for address in (f"/runs/{FREE}/review/label", f"/runs/{FREE}/annotate", f"/runs/{FREE}/review/name"):
        assert reader.post(address, data={"csrf": "", "tag": "a", "verdict": "pass"}).status_code in (404, 405)
    assert reader.get(f"/runs/{FREE}/review").status_code == 404
    assert store.labels(FREE) == []
    assert store.notes.all_tags() == []


@pytest.mark.parametrize("path", ["//evil.example/x", "///evil.example", "/\\evil.example", "//evil.example"])
def test_a_token_never_leads_to_another_host(store: Store, db: str, path: str) -> None:
    app = make_app(viewer_of(store, db), hosts=None, token="secret")
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        answer = client.get(f"http://localhost{path}?token=secret&q=a")
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert urlsplit(urljoin("http://localhost/", location)).hostname == "localhost"
    assert ("token" not in location, "\\" not in location) == (True, True)


@pytest.mark.parametrize("number", ["²", "x", "-1", "1.5", "9" * 30, "9" * 5000])
def test_a_number_that_is_none_is_told(client: TestClient, store: Store, number: str) -> None:
    address = f"/runs/{FREE}/review?queue=sample&size=5"
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(address).text)
    assert found is not None
    body = {"csrf": found[1], "case": "case_0", "verdict": "pass", "repeat": number}
    answer = client.post(f"/runs/{FREE}/review/label?queue=all", data=body)
    assert (answer.status_code, "expected a whole number" in answer.text) == (400, True)
    assert store.labels(FREE) == []
    for field in ("size", "seed", "repeat"):
        answer = client.get(f"/runs/{FREE}/review", params={"queue": "sample", "case": "case_0", field: number})
        assert (answer.status_code, f"{field} " in answer.text) == (400, True)


def test_a_form_has_a_limit(client: TestClient) -> None:
    big = client.post(f"/runs/{FREE}/annotate", data={"note": "x" * 200_000})
    assert big.status_code == 413


def test_what_is_not_there_says_so(client: TestClient) -> None:
    for address, said in (
        ("/runs/absent", "no run"),
        (f"/runs/{FREE}/cases/absent", "no attempt of case"),
        ("/studies/absent", "no study"),
        (f"/compare?run={FREE}", "tick two runs"),
        (f"/compare?run={FREE}&run=absent", "no run"),
        (f"/runs/{FREE}/download/exe", "no download"),
        (f"/runs/{FREE}/review?queue=changed", "name the run"),
    ):
        answer = client.get(address)
        assert answer.status_code in (400, 404), address
        assert said in answer.text, address


def test_strange_queries_are_no_error(client: TestClient) -> None:
    for query in (
        "page=-1",
        "page=99999999999",
        "page=x",
        "sort=nonsense",
        "verdict=nonsense",
        "q=%00",
        "q=%25_",
        "order=x",
    ):
        assert client.get(f"/runs?{query}").status_code == 200, query
        assert client.get(f"/runs/{CONSTRAINED}?{query}").status_code == 200, query
