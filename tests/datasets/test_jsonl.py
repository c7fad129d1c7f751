"""Cases of one's own, one JSON object a line."""

from pathlib import Path

import pytest

from agentbench.core.errors import UserError
from agentbench.datasets.jsonl import JsonlConfig, JsonlDataset


def load(folder: Path, text: str) -> list[object]:
    (folder / "cases.jsonl").write_text(text, encoding="utf-8")
    return list(JsonlDataset(JsonlConfig()).load(folder))


def test_text_and_messages_are_both_input(tmp_path: Path) -> None:
    tool = '{"name": "f", "description": "d", "parameters": {"type": "object"}}'
    lines = [
        '{"id": "a", "input": "hi\u2028there", "expected": 1}',
        "",
        f'{{"id": "b", "input": [{{"role": "system", "content": "x"}}], "tools": [{tool}], "cluster": "k"}}',
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    first, second = JsonlDataset(JsonlConfig()).load(tmp_path)
    assert first.messages == ({"role": "user", "content": "hi\u2028there"},)
    assert (first.cluster, second.cluster, second.tools[0].name) == ("a", "k", "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "input": "x"}\n{"id": "a", "input": "y"}', r"cases\.jsonl:2: case id 'a' is used twice; first"),
        ('{"id": "a", "input": "x"\n', r"cases\.jsonl:1: not valid JSON"),
        ("\n[1, 2]", r"cases\.jsonl:2: expected a JSON object, found list"),
        ('{"id": "a", "imput": "x"}', r"cases\.jsonl:1: (unknown key 'imput'|key 'input' is missing)"),
        ('{"id": "a", "input": "x", "expcted": 1}', r"unknown key 'expcted'. Did you mean 'expected'"),
        ('{"id": 5, "input": "x"}', r"cases\.jsonl:1: id = 5"),
        ('{"id": "a", "input": "x", "expected": [NaN]}', r"cases\.jsonl:1: not valid JSON: NaN is no JSON number"),
        ('{"id": "a", "input": "x", "metadata": {"x": -Infinity}}', r"not valid JSON: -Infinity is no JSON number"),
        ('{"id": "a", "input": "x", "expected": 1e999}', r"cases\.jsonl:1: not valid JSON: 1e999 is no JSON number"),
    ],
)
def test_a_bad_line_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, text)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "a", "input": "x"}\r\n{"id": "b", "input": "y"}\r\n')
    cases = JsonlDataset(JsonlConfig()).load(tmp_path)
    assert [case.id for case in cases] == [cases[0].id, cases[1].id] == ["a", "b"]


def test_a_case_knows_its_line(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text('\n{"id": "a", "input": "x"}\n\n{"id": "b", "input": "y"}\n')
    cases = JsonlDataset(JsonlConfig()).load(tmp_path)
    assert [cases.place(index) for index in range(2)] == [f"{tmp_path}/cases.jsonl:{line}" for line in (2, 4)]
