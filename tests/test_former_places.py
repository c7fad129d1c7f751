"""Imports that README and docs once showed go on working, with a warning that names the new place."""

from importlib import import_module, reload

import pytest

import agentbench


@pytest.mark.parametrize(
    ("module", "names"),
    [("agentbench.case", ["Case"]), ("agentbench.protocols", ["ChatClient", "ChatRequest", "Toolbox"])],
)
def test_a_former_import_works_and_names_the_new_place(module: str, names: list[str]) -> None:
    with pytest.warns(DeprecationWarning, match="import from agentbench"):
        found = reload(import_module(module))
    for name in names:
        assert getattr(found, name) is getattr(agentbench, name)


def test_the_front_door_has_at_most_ten_names() -> None:
    names = [name for name in agentbench.__all__ if name != "__version__"]
    assert len(names) <= 10
    assert all(getattr(agentbench, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        agentbench.nothing  # noqa: B018
