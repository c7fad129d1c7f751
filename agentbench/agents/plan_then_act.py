"""First a plan, then an agent that acts by it."""

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from agentbench.agents.inner import WithInner
from agentbench.agents.step_model import StepModelOptions
from agentbench.agents.tool_prompt import ToolFormat, describe
from agentbench.case import Case
from agentbench.config import Component
from agentbench.protocols import ChatClient, ChatRequest, Reply, Toolbox

PLAN = "Make a short plan for answering the user: numbered steps, each naming the tool it uses. Tools:\n{tools}"
ACT = "Follow this plan:\n{plan}"


class PlanThenActConfig(BaseModel):
    """Options of the `plan_then_act` agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Component = Field(Component(name="tool_loop"), description="The agent that acts.")
    plan_model: StepModelOptions | None = Field(
        None, description="A model of its own for the plan; the run's by default."
    )
    plan_prompt: str = Field(PLAN, description="Asks for the plan; {tools} stands for the tools' descriptions.")
    act_prompt: str = Field(ACT, description="Tells the acting agent the plan, which {plan} stands for.")
    tool_format: ToolFormat = "signature"
    max_plan_tokens: int = Field(200, gt=0)
    temperature: float = Field(0.0, ge=0)


class PlanThenActAgent(WithInner):
    """Asks the model for a plan, and puts it as a system message before the conversation that `inner` works on."""

    Config = PlanThenActConfig

    def __init__(self, config: PlanThenActConfig) -> None:
        super().__init__(config.inner, "plan", config.plan_model)
        self._config = config

    async def __call__(self, case: Case, backend: ChatClient, tools: Toolbox) -> str | Reply:
        prompt = self._config.plan_prompt.replace(
            "{tools}", describe(self.offered(tools).specs, self._config.tool_format)
        )
        request = ChatRequest(
            messages=({"role": "system", "content": prompt}, *case.messages),
            temperature=self._config.temperature,
            max_tokens=self._config.max_plan_tokens,
        )
        plan = (await self._model.client(backend).chat(request)).answer
        told = {"role": "system", "content": self._config.act_prompt.replace("{plan}", plan)}
        return await self._inner(replace(case, messages=(told, *case.messages)), backend, tools)
