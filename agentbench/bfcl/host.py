"""The process that runs a case's toolkits: `python -m agentbench.bfcl.host`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench.bfcl.toolkits import Toolkits
from agentbench.core.case import ToolSpec
from agentbench.tools.host import serve


class BfclSession:
    """Implements `ToolSession`; the parent process knows the tools' names."""

    specs: tuple[ToolSpec, ...] = ()

    def __init__(self, toolkits: Toolkits) -> None:
        self._toolkits = toolkits

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        return self._toolkits.call(name, arguments)

    async def state(self) -> Any:
        return self._toolkits.state()


async def opened(opening: Mapping[str, Any]) -> BfclSession:
    return BfclSession(Toolkits(Path(opening["wheel"]), opening["classes"], opening["initial"]))


if __name__ == "__main__":
    asyncio.run(serve(opened))
