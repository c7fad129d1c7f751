"""Every constrained answer fits its schema: schemas of pydantic and zod, and the public JSON Schema test suite.

python -m tests.serving.openai.test_schema_suites counts the accepted schemas.
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

from tests.serving.openai.grammar_walks import accepts, answers_to, arguments_of, random_answer
from tests.serving.openai.library_schemas import Schema, pydantic_schema, zod_schema

SUITE = Path(__file__).parent / "schemas/draft2020-12.tar.xz"
LIBRARY_SCHEMAS, SAMPLE, ANSWERS = 300, 40, 4
FORMATS = FormatChecker(("email", "ipv4", "ipv6", "uuid"))
FORMATS.checks("date", ValueError)(lambda text: not isinstance(text, str) or bool(date.fromisoformat(text)))
FORMATS.checks("time", ValueError)(lambda text: not isinstance(text, str) or time.fromisoformat(text) is not None)
FORMATS.checks("date-time", ValueError)(lambda text: not isinstance(text, str) or bool(datetime.fromisoformat(text)))
# U+FEFF is white space in ECMA-262, but neither in the grammar engine nor in `jsonschema`.
EXCLUDED_GROUPS = {r"ECMA 262 \S matches everything but whitespace"}


def library_schemas() -> list[Schema]:
    """Random schemas, in turn as zod and as pydantic write them."""
    return [(zod_schema, pydantic_schema)[seed % 2](random.Random(seed)) for seed in range(LIBRARY_SCHEMAS)]


@cache
def suite() -> list[dict[str, Any]]:
    """The groups of the public suite. Each has a schema, and tests with a value and whether it is valid."""
    groups: list[dict[str, Any]] = []
    with tarfile.open(SUITE) as archive:
        for member in archive.getmembers():
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                groups += json.load(file)
    return [group for group in groups if isinstance(group["schema"], dict)]


def misfits(schema: Schema, answers: int) -> Iterator[str]:
    """The errors of random answers to the schema. Uses decimal arithmetic, so 0.3 is a multiple of 0.1."""
    constraint = answers_to(schema)
    if isinstance(constraint, str):
        return
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    validator = validator_for(schema, default=Draft202012Validator)(exact, format_checker=FORMATS)
    for seed in range(answers):
        answer = random_answer(constraint, random.Random(seed))
        if answer is not None:
            value = json.loads(answer, parse_float=Decimal)
            with suppress(re.error):  # a pattern with syntax that Python does not have
                found = list(validator.iter_errors(value))
                yield from (f"{answer}: {error.message}: {json.dumps(schema)}" for error in found)


def test_answers_fit_the_schemas_of_libraries() -> None:
    sample = random.Random(0).sample(library_schemas(), SAMPLE)
    assert [misfit for schema in sample for misfit in misfits(schema, ANSWERS)] == []


@pytest.mark.slow
def test_answers_fit_all_300_schemas() -> None:
    assert [misfit for schema in library_schemas() for misfit in misfits(schema, 20)] == []


def test_invalid_values_of_the_public_suite_are_never_allowed() -> None:
    allowed = []
    for group in suite():
        constraint = answers_to(group["schema"])
        if isinstance(constraint, str):
            assert "\n" not in constraint
        if isinstance(constraint, str) or group["description"] in EXCLUDED_GROUPS:
            continue
        for test in group["tests"]:
            texts = {json.dumps(test["data"], ensure_ascii=ascii) for ascii in (True, False)}
            if not test["valid"] and any(accepts(constraint, text) for text in texts):
                allowed.append((group["description"], test["description"]))
    assert allowed == []


@pytest.mark.slow
def test_answers_fit_the_schemas_of_the_public_suite() -> None:
    assert [misfit for group in suite() for misfit in misfits(group["schema"], 10)] == []


def test_arguments_of_a_tool_that_is_not_strict_are_json_also_with_an_unsupported_schema() -> None:
    unsupported = [group["schema"] for group in suite() if isinstance(answers_to(group["schema"]), str)]
    constraints = [found for schema in unsupported if not isinstance(found := arguments_of(schema), str)]
    assert len(constraints) > 100
    for constraint in random.Random(0).sample(constraints, 40):
        answer = random_answer(constraint, random.Random(0))
        assert answer is None or json.loads(answer) is not ...


def report() -> Iterator[str]:
    """Lines with the number of accepted schemas, and the reasons for the others."""
    for name, schemas in (("library", library_schemas()), ("public suite", [group["schema"] for group in suite()])):
        results = [answers_to(schema) for schema in schemas]
        refused = Counter(reason for reason in results if isinstance(reason, str))
        accepted = len(results) - refused.total()
        yield f"{name}: {accepted} of {len(results)} accepted ({accepted / len(results):.0%})"
        yield from (f"  {count:3} {reason}" for reason, count in refused.most_common())


if __name__ == "__main__":
    print("\n".join(report()))
