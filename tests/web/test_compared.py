"""Runs side by side in the viewer: which is A."""

from starlette.testclient import TestClient

from tests.web.conftest import CONSTRAINED, FREE


def test_of_the_runs_ticked_the_first_is_what_the_others_are_held_against(reader: TestClient) -> None:
    """The list has the newest first, and a form sends its boxes in that order."""
    listed = reader.get("/runs").text
    assert listed.index(CONSTRAINED) < listed.index(FREE)
    assert "A is the one that started first" in listed
    assert '<input type="hidden" name="order" value="started">' in listed
    page = reader.get("/compare", params={"order": "started", "run": [CONSTRAINED, FREE]}).text
    assert "<h1>weather · free, constrained</h1>" in page
    assert "B against A: B is right more often than A" in page
    assert "+33.9 pts" in page


def test_an_address_says_itself_which_run_is_the_first(reader: TestClient) -> None:
    page = reader.get("/compare", params={"run": [CONSTRAINED, FREE]}).text
    assert "<h1>weather · constrained, free</h1>" in page
    assert "B against A: A is right more often than B" in page
    assert "−33.9 pts" in page
