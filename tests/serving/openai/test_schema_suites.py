"""Whatever is let through fits its schema: those that libraries write, and the public JSON Schema test suite.

python -m tests.serving.openai.test_schema_suites counts how many are taken.
"""

import json
import random
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import validator_for

from tests.serving.openai.grammar_walks import answers_to, arguments_of, random_answer, takes
from tests.serving.openai.library_schemas import Schema, pydantic_schema, zod_schema

SUITE = Path(__file__).parent / "schemas/draft2020-12.tar.xz"
LIBRARY_SCHEMAS, SAMPLE, ANSWERS = 300, 40, 4
FORMATS = FormatChecker(("email", "ipv4", "ipv6", "uuid"))
FORMATS.checks("date", ValueError)(lambda text: not isinstance(text, str) or bool(date.fromisoformat(text)))
FORMATS.checks("time", ValueError)(lambda text: not isinstance(text, str) or time.fromisoformat(text) is not None)
FORMATS.checks("date-time", ValueError)(lambda text: not isinstance(text, str) or bool(datetime.fromisoformat(text)))
# U+FEFF is white space to ECMA-262, but neither to the grammar engine nor to `jsonschema`.
BEYOND_PATTERNS = {r"ECMA 262 \S matches everything but whitespace"}


def library_schemas() -> list[Schema]:
    """Every second one as pydantic writes them, every second one as zod does."""
    return [(zod_schema, pydantic_schema)[seed % 2](random.Random(seed)) for seed in range(LIBRARY_SCHEMAS)]


@cache
def suite() -> list[dict[str, Any]]:
    """The groups of tests, each with a schema and what fits it or does not."""
    groups: list[dict[str, Any]] = []
    with tarfile.open(SUITE) as archive:
        for member in archive.getmembers():
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                groups += json.load(file)
    return [group for group in groups if isinstance(group["schema"], dict)]


def misfits(schema: Schema, answers: int) -> Iterator[str]:
    """Random answers that don't fit the schema. Decimals are computed with as such: 0.3 is a multiple of 0.1."""
    constraint = answers_to(schema)
    if isinstance(constraint, str):
        return
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    validator = validator_for(schema, default=Draft202012Validator)(exact, format_checker=FORMATS)
    for seed in range(answers):
        answer = random_answer(constraint, random.Random(seed))
        if answer is not None:
            value = json.loads(answer, parse_float=Decimal)
            with suppress(re.error):  # a pattern in words that Python does not know
                found = list(validator.iter_errors(value))
                yield from (f"{answer}: {error.message}: {json.dumps(schema)}" for error in found)


def test_answers_fit_schemas_as_libraries_write_them() -> None:
    sample = random.Random(0).sample(library_schemas(), SAMPLE)
    assert [misfit for schema in sample for misfit in misfits(schema, ANSWERS)] == []


@pytest.mark.slow
def test_answers_fit_all_300_schemas() -> None:
    assert [misfit for schema in library_schemas() for misfit in misfits(schema, 20)] == []


def test_what_the_public_suite_says_is_wrong_is_never_let_through() -> None:
    wrong = []
    for group in suite():
        constraint = answers_to(group["schema"])
        if isinstance(constraint, str):
            assert "\n" not in constraint
        if isinstance(constraint, str) or group["description"] in BEYOND_PATTERNS:
            continue
        for test in group["tests"]:
            texts = {json.dumps(test["data"], ensure_ascii=ascii) for ascii in (True, False)}
            if not test["valid"] and any(takes(constraint, text) for text in texts):
                wrong.append((group["description"], test["description"]))
    assert wrong == []


@pytest.mark.slow
def test_answers_fit_the_schemas_of_the_public_suite() -> None:
    assert [misfit for group in suite() for misfit in misfits(group["schema"], 10)] == []


def test_a_loose_tools_arguments_are_json_whatever_its_schema_asks_for() -> None:
    loose = [group["schema"] for group in suite() if isinstance(answers_to(group["schema"]), str)]
    taken = [found for schema in loose if not isinstance(found := arguments_of(schema), str)]
    assert len(taken) > 100
    for constraint in random.Random(0).sample(taken, 40):
        answer = random_answer(constraint, random.Random(0))
        assert answer is None or json.loads(answer) is not ...


def counted() -> Iterator[str]:
    """How many schemas are taken, and why the others are not."""
    for name, schemas in (("library", library_schemas()), ("public suite", [group["schema"] for group in suite()])):
        found = [answers_to(schema) for schema in schemas]
        refused = Counter(reason for reason in found if isinstance(reason, str))
        taken = len(found) - refused.total()
        yield f"{name}: {taken} of {len(found)} taken ({taken / len(found):.0%})"
        yield from (f"  {count:3} {reason}" for reason, count in refused.most_common())


if __name__ == "__main__":
    print("\n".join(counted()))
