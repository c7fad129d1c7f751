"""The `bfcl_toolkits` tool source: the leaderboard's stateful toolkits, each attempt's in a process of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from agentbench.bfcl.archive import DOCUMENTS, toolkit_specs
from agentbench.bfcl.toolkits import ENVIRONMENT
from agentbench.core.case import Case
from agentbench.core.errors import UserError
from agentbench.hub import dataset_path
from agentbench.tools.toolkit import HostedToolkit, Hosting


class BfclToolkitsConfig(BaseModel):
    """Options of the `bfcl_toolkits` tool source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limits: Hosting = Field(Hosting(), description="Limits of each attempt's process.")


class BfclToolkitsSource:
    """The toolkits of a `bfcl_multi_turn` case, in the case's initial state and with the leaderboard's descriptions.

    The classes are those of the pulled package.
    """

    Config = BfclToolkitsConfig

    def __init__(self, config: BfclToolkitsConfig, root: Path) -> None:
        self._config = config

    @asynccontextmanager
    async def session(self, case: Case) -> AsyncIterator[HostedToolkit]:
        wheel = dataset_path("bfcl")
        classes = case.metadata.get("toolkits")
        if not isinstance(classes, list) or not set(classes) <= DOCUMENTS.keys():
            raise UserError(
                f"case {case.id!r}: metadata.toolkits = {classes!r:.80}; bfcl_toolkits needs a list of some of:"
                f" {', '.join(DOCUMENTS)}"
            )
        hosted = HostedToolkit("bfcl_toolkits", self._config.limits, "agentbench.bfcl.host", ENVIRONMENT)
        try:
            await hosted.start({"wheel": str(wheel), "classes": classes, "initial": case.metadata["initial"]})
            hosted.specs = tuple(spec for name in classes for spec in toolkit_specs(wheel, name))
            yield hosted
        finally:
            await hosted.stop()
