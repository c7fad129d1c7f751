"""What the environment says."""

import pytest

from agentbench.core.errors import UserError
from agentbench.environment import Proxy, https_proxy


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("url", ["http://proxy.example:3128", "proxy.example:3128"])
def test_a_proxy_is_named_in_any_of_the_usual_ways(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    assert https_proxy("api.example") == Proxy(host="proxy.example", port=3128)


def test_there_is_none_unless_it_is_named() -> None:
    assert https_proxy("api.example") is None


def test_hosts_that_are_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", "localhost,.lan")
    assert https_proxy("localhost") is None
    assert https_proxy("gpu.lan") is None
    assert https_proxy("api.example") is not None


def test_a_proxy_of_another_kind_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy.example:1080")
    with pytest.raises(UserError, match=r"socks5://proxy\.example; give it as http://") as caught:
        https_proxy("api.example")
    assert "secret" not in str(caught.value)
