"""Contract tests for implementations of agentbench's protocols, as pytest classes.

Subclass a contract in your tests and define the fixtures that its docstring names:

    from agentbench.testing import ScorerContract

    class TestMine(ScorerContract):
        @pytest.fixture
        def scorer(self) -> Scorer:
            return MyScorer(MyConfig())

        @pytest.fixture
        def case(self) -> Case:
            return Case(id="one", messages=({"role": "user", "content": "Hi"},), expected="hello")

`BackendContract`, `ToolSourceContract` and `ToolboxContract` have async tests, which need pytest-asyncio with
`asyncio_mode = auto`. agentbench's own implementations run the same contracts.
"""

from agentbench.testing.backend import BackendContract
from agentbench.testing.scorer import ScorerContract
from agentbench.testing.server import ServerContract
from agentbench.testing.store import StoreContract
from agentbench.testing.tools import ToolboxContract, ToolSourceContract

__all__ = [
    "BackendContract",
    "ScorerContract",
    "ServerContract",
    "StoreContract",
    "ToolSourceContract",
    "ToolboxContract",
]
