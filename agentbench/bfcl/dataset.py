"""The `bfcl` and `bfcl_multi_turn` data sets: the leaderboard's single-turn and multi-turn categories, read from the
pulled package.

In a multi-turn case, a user makes several requests in turn, which need toolkits with a state.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from agentbench.bfcl.archive import Row, read_rows, tool_spec
from agentbench.bfcl.toolkits import truths
from agentbench.core.case import Case
from agentbench.hub import dataset_path

Category = Literal[
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
]


class BfclConfig(BaseModel):
    """Options of the `bfcl` data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Category | tuple[Category, ...] | Literal["all"] = Field(
        description="The leaderboard's category, a list of them, or all."
    )

    @property
    def categories(self) -> tuple[Category, ...]:
        if self.category == "all":
            return get_args(Category)
        return self.category if isinstance(self.category, tuple) else (self.category,)


class BfclDataset:
    """Cases with declared tools, and the accepted calls as `expected` (see `tool_call_match`).

    Cases of the live categories form one cluster when they come from one user's request (the second number of their
    id).
    """

    Config = BfclConfig

    def __init__(self, config: BfclConfig) -> None:
        self._categories = config.categories

    def load(self, root: Path) -> list[Case]:
        wheel = dataset_path("bfcl")
        return [case for category in self._categories for case in _cases(wheel, category)]


def _cases(wheel: Path, category: Category) -> list[Case]:
    file = f"BFCL_v4_{category}.json"
    rows = read_rows(wheel, file)
    graded = not category.endswith("relevance")
    answers = read_rows(wheel, f"possible_answer/{file}") if graded else []
    truths = {answer["id"]: answer["ground_truth"] for answer in answers}
    return [_case(row, category, truths.get(row["id"])) for row in rows]


def _case(row: Row, category: Category, truth: Any) -> Case:
    return Case(
        id=row["id"],
        messages=tuple(row["question"][0]),
        tools=tuple(tool_spec(document) for document in row["function"]),
        expected=_expected(category, truth),
        metadata={"category": category},
        cluster=_cluster(row["id"]),
    )


def _expected(category: Category, truth: Any) -> dict[str, Any]:
    if truth is not None:
        return {"calls": truth}
    return {"min_calls": 1} if category == "live_relevance" else {"calls": []}


def _cluster(case_id: str) -> str:
    parts = case_id.rsplit("_", 1)
    numbers = parts[1].split("-")
    return f"{parts[0]}_{numbers[1]}" if len(numbers) == 3 else case_id


MultiTurnCategory = Literal["multi_turn_base", "multi_turn_miss_param"]


class BfclMultiTurnConfig(BaseModel):
    """Options of the `bfcl_multi_turn` data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: MultiTurnCategory = Field("multi_turn_base", description="The leaderboard's category.")
    turns: int | None = Field(None, ge=1, description="Most turns of a conversation, the first ones. Default: all.")


class BfclMultiTurnDataset:
    """The first turn is the case's messages; the later turns are lines of the scripted user.

    `expected["turns"]` has the outcome of the ground truth's calls in each turn (`results`, `state`). `metadata` has
    the tools' initial state, and the ground truth's calls by turn as `solution`.
    """

    Config = BfclMultiTurnConfig

    def __init__(self, config: BfclMultiTurnConfig) -> None:
        self._category = config.category
        self._turns = config.turns

    def load(self, root: Path) -> list[Case]:
        wheel = dataset_path("bfcl")
        rows = read_rows(wheel, f"BFCL_v4_{self._category}.json")
        answers = {each["id"]: each for each in read_rows(wheel, f"possible_answer/BFCL_v4_{self._category}.json")}
        found = truths(wheel, rows, [answers[row["id"]]["ground_truth"] for row in rows])
        return [self._case(row, turns) for row, turns in zip(rows, found, strict=True)]

    def _case(self, row: Row, turns: Sequence[dict[str, Any]]) -> Case:
        turns = turns[: self._turns]
        first, *later = row["question"][: self._turns]
        return Case(
            id=row["id"],
            messages=tuple(first),
            expected={"turns": [{"results": turn["results"], "state": turn["state"]} for turn in turns]},
            metadata={
                "category": self._category,
                "toolkits": row["involved_classes"],
                "initial": row["initial_config"],
                "solution": [turn["calls"] for turn in turns],
            },
            user={"lines": later},
        )
