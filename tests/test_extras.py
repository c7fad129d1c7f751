"""How messages say to install an extra: from where this installation came from."""

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from agentbench import extras
from agentbench.core.errors import UserError
from agentbench.extras import install_hint, needs

COMMIT = "7be8e4a1"


class Installed:
    """A distribution with this direct_url.json."""

    def __init__(self, origin: str | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        return self._origin if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        (None, "pip install 'agentbench-harness[mcp]'"),
        ('{"url": "file:///home/me/agentbench", "dir_info": {"editable": true}}', "-e '/home/me/agentbench[mcp]'"),
        ('{"url": "file:///my%20work/agentbench", "dir_info": {"editable": true}}', "-e '/my work/agentbench[mcp]'"),
        ('{"url": "file:///my/agentbench", "dir_info": {}}', "'agentbench-harness[mcp] @ file:///my/agentbench'"),
        (
            f'{{"url": "https://git.example/a.git", "vcs_info": {{"vcs": "git", "commit_id": "{COMMIT}"}}}}',
            f"pip install 'agentbench-harness[mcp] @ git+https://git.example/a.git@{COMMIT}'",
        ),
    ],
)
def test_an_extra_comes_from_where_the_rest_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, hint: str
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: Installed(origin))
    assert install_hint("mcp").startswith("pip install ")
    assert install_hint("mcp").endswith(hint)


def test_code_that_is_not_installed_names_no_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", absent)
    assert install_hint("mcp") == "pip install -e '.[mcp]' in a checkout of agentbench"


def test_a_package_that_is_not_there_is_told_with_its_extra() -> None:
    with pytest.raises(UserError, match=r"the moon needs no_such_package: pip install .*\[moon\]"):
        needs("no_such_package", "the moon", "moon")
    needs("json", "nothing", "none")
