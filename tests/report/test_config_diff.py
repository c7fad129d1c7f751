"""The differences between two configurations."""

from agentbench.report.config_diff import config_diff


def test_a_configuration_differs_by_dotted_path() -> None:
    changes = config_diff({"a": {"b": 1, "c": {}}, "d": 2}, {"a": {"b": 3}, "d": 2})
    assert [(change.path, change.a, change.b) for change in changes] == [("a.b", 1, 3), ("a.c", {}, None)]
