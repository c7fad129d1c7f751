"""A model's text has no effect on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbench.report import figures
from agentbench.report.terminal_safe import line, plain


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x00b\x07c\x9bd", "abcd"),
        ("abc\u202edcba", "abcdcba"),
        ("\ud800", "\ufffd"),
        ("[bold]kept[/bold]\n\ttoo", "[bold]kept[/bold]\n\ttoo"),
    ],
)
def test_sequences_and_controls_are_removed(text: str, left: str) -> None:
    assert plain(text) == left


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b[]m;\x9b\u202e"))))
def test_no_control_character_remains(text: str) -> None:
    left = plain(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in left)
    assert not any(0x7F <= ord(c) < 0xA0 for c in left)
    left.encode()
    assert "\n" not in line(text)


def test_figures_have_units() -> None:
    assert [figures.seconds(value) for value in (None, 0.00812, 0.8124, 12.34, 300.0)] == [
        "—",
        "8.12 ms",
        "812 ms",
        "12.3 s",
        "5 min",
    ]
    assert figures.points(-0.0614) == "−6.1 pts"
    assert figures.shift(0.38) == "+380 ms"
    assert figures.bounds("+1 ms", "+2 ms") == "+1 to +2 ms"
    assert figures.bounds("900 ms", "1.2 s") == "900 ms to 1.2 s"
    assert figures.ratio(3.0, 2.0) == "× 1.50"
    assert figures.ratio(3.0, 0.0) == "—"
