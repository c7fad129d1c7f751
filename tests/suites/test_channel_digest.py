"""The channel_digest suite: what its page shows to a real browser is what its digests are graded by."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentbench.agents.tool_loop import ToolLoopAgent, ToolLoopConfig
from agentbench.core.case import Case
from agentbench.core.protocols import Toolbox
from agentbench.core.trace import Trace
from agentbench.run.runner import Job, RunContext, run_job
from agentbench.suite.config import RunOptions
from agentbench.suite.suite import load_suite
from agentbench.tools import load_tools, opened_toolbox
from agentbench.tools.browser import BrowserConfig, BrowserSource, installed_browser
from tests.fakes import SayBackend, calls

ROOT = Path(__file__).parents[2] / "suites" / "channel_digest"
SUITE = load_suite(ROOT)
CASES = {case.id: case for case in SUITE.cases}
needs_chromium = pytest.mark.skipif(installed_browser() is None, reason="no Chromium is installed")


@pytest.fixture
async def browser() -> AsyncIterator[BrowserSource]:
    async with BrowserSource(BrowserConfig(), ROOT) as source:
        yield source


async def measured(case: Case, digest: str) -> dict[str, float]:
    scores = [await scorer.score(case, Trace(output=digest)) for scorer in SUITE.scorers]
    assert SUITE.passed_by == ("covered", "not_invented")
    return {score.name: score.value for score in scores}


DIGESTS = [case for case in SUITE.cases if case.metadata["level"] == "digest"]


def test_there_are_twenty_four_days_in_eight_channels_each_with_a_digest_and_a_question() -> None:
    levels = Counter(case.metadata["level"] for case in SUITE.cases)
    assert levels == {"question on the page": 8, "question behind clicks": 16, "digest": 24}
    assert len({case.cluster for case in SUITE.cases}) == 8
    assert all(len(case.expected["facts"]) >= 5 for case in DIGESTS)
    assert sum("guest" in false.get("unless", "") for case in DIGESTS for false in case.expected["false"]) == 12


async def test_a_question_does_not_give_its_answer_and_what_was_replaced_is_wrong() -> None:
    for case in SUITE.cases:
        if case.metadata["level"] != "digest":
            assert (await measured(case, str(case.messages[0]["content"])))["covered"] < 0.8, case.id
            for false in case.expected["false"]:
                assert (await measured(case, false["fact"]))["covered"] < 0.8, (case.id, false)


async def test_the_reference_covers_everything_and_silence_covers_nothing() -> None:
    for case in SUITE.cases:
        assert await measured(case, case.metadata["reference"]) == {"covered": 1.0, "not_invented": 1.0}, case.id
        assert await measured(case, "Nothing of note happened.") == {"covered": 0.0, "not_invented": 1.0}, case.id


async def test_another_days_digest_covers_little() -> None:
    shares = [
        (await measured(case, other.metadata["reference"]))["covered"]
        for case in DIGESTS
        for other in DIGESTS
        if case.id != other.id
    ]
    assert max(shares) <= 0.5
    assert sum(shares) / len(shares) < 0.05


async def test_what_was_replaced_is_an_invention_unless_what_holds_is_told_beside_it() -> None:
    case = CASES["launch_2"]
    replaced = [each for each in case.expected["false"] if each.get("unless")]
    assert replaced
    for false in replaced:
        told = re.sub(r"^(the|an) (?=decision|invoice)", "", false["fact"])
        wrong = f"It was decided to go with {told.split()[-1]}." if "decision" in told else told
        assert (await measured(case, wrong))["not_invented"] < 1, false
        assert (await measured(case, f"{wrong}. {case.metadata['reference']}"))["covered"] == 1.0


@needs_chromium
async def test_all_that_is_asked_for_can_be_read_and_only_after_the_clicks(browser: BrowserSource) -> None:
    for case in [*DIGESTS[::5], *(CASES[f"{name}_question"] for name in ("launch_1", "launch_3", "archive_2"))]:
        async with opened_toolbox([browser], case) as tools:
            at_once = 2 if case.metadata["level"] == "digest" else 1
            first = [await done(tools, call) for call in case.metadata["reading"][:at_once]]
            for call in case.metadata["reading"][at_once:]:
                await done(tools, call)
            text = await whole(tools)
        assert (await measured(case, text))["covered"] == 1, case.id
        if len(case.metadata["reading"]) > at_once:
            assert (await measured(case, first[-1]))["covered"] < 1, case.id


async def done(tools: Toolbox, call: dict[str, Any]) -> str:
    made = await tools.call(call["name"], call["arguments"])
    assert made.error is None, made
    return str(made.result)


async def whole(tools: Toolbox) -> str:
    """Every part of the page's text, the notes around it left out."""
    shown = await done(tools, {"name": "read", "arguments": {}})
    count = re.match(r"\[.*, part 1 of (\d+)\]", shown)
    assert count
    parts = [await done(tools, {"name": "read", "arguments": {"part": n + 1}}) for n in range(int(count[1]))]
    return "".join("\n".join(part.split("\n")[1:-1]) for part in parts)


@needs_chromium
async def test_an_agent_that_reads_and_digests_passes() -> None:
    case = CASES["garden_3"]
    made = [calls((call["name"], json.dumps(call["arguments"]))) for call in case.metadata["reading"]]
    sources = load_tools(SUITE.tools, ROOT)
    [browser] = sources
    assert isinstance(browser, BrowserSource)
    async with browser:
        context = RunContext(
            agent=ToolLoopAgent(ToolLoopConfig(max_turns=16)),
            backend=SayBackend(*made, case.metadata["reference"]),
            toolbox=lambda each: opened_toolbox(sources, each),
            user=SUITE.user,
            scorers=SUITE.scorers,
            passed_by=SUITE.passed_by,
            options=RunOptions(),
        )
        attempt = await run_job(Job(case=case, repeat=0), context)
    assert attempt.failure is None
    assert attempt.passed
    assert all(call.error is None for call in attempt.trace.tool_calls)


def test_the_site_and_the_cases_are_those_that_their_generator_makes(tmp_path: Path) -> None:
    for name in ("make_site.py", "scenes.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make_site.py")], check=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("**/*") if path.suffix in (".html", ".jsonl"))
    assert len(made) == 10
    for path in made:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), path
