"""Contracts of the seams, as test classes of pytest: subclass one in your tests, with the fixtures that it names.

    from agentbench.testing import ScorerContract

    class TestMine(ScorerContract):
        @pytest.fixture
        def scorer(self) -> Scorer:
            return MyScorer(MyConfig())

        @pytest.fixture
        def case(self) -> Case:
            return Case(id="one", messages=({"role": "user", "content": "Hi"},), expected="hello")

`BackendContract` has coroutines as tests: pytest-asyncio with `asyncio_mode = auto` runs them. agentbench's own
implementations run the same classes.
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
