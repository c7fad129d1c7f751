"""The leaderboard's multi-turn categories: a user asks for several things in turn, of toolkits with a state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentbench.bfcl.archive import Row, read_rows
from agentbench.bfcl.truth import truths
from agentbench.case import Case
from agentbench.hub import dataset_path

MultiTurnCategory = Literal["multi_turn_base", "multi_turn_miss_param"]


class BfclMultiTurnConfig(BaseModel):
    """Options of the `bfcl_multi_turn` data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: MultiTurnCategory = Field("multi_turn_base", description="The leaderboard's category.")


class BfclMultiTurnDataset:
    """Cases whose first turn is the messages and whose later turns are the scripted user's lines.

    `expected["turns"]` has what the ground truth of each turn leads to (`results`, `state`), and `metadata` what the
    tools start from and the ground truth's calls, turn by turn, as `solution`.
    """

    Config = BfclMultiTurnConfig

    def __init__(self, config: BfclMultiTurnConfig) -> None:
        self._category = config.category

    def load(self, root: Path) -> list[Case]:
        wheel = dataset_path("bfcl")
        rows = read_rows(wheel, f"BFCL_v4_{self._category}.json")
        answers = {each["id"]: each for each in read_rows(wheel, f"possible_answer/BFCL_v4_{self._category}.json")}
        found = truths(wheel, rows, [answers[row["id"]]["ground_truth"] for row in rows])
        return [self._case(row, turns) for row, turns in zip(rows, found, strict=True)]

    def _case(self, row: Row, turns: Sequence[dict[str, Any]]) -> Case:
        first, *later = row["question"]
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
