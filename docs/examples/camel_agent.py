"""CAMEL's chat agent. Needs: camel-ai."""

from camel.agents import ChatAgent
from camel.models import ModelFactory
from camel.toolkits import FunctionTool
from camel.types import ModelPlatformType
from hosting import Task, question, serve
from tools import calculator, convert_units


def answer(task: Task) -> str:
    model = ModelFactory.create(
        model_platform=ModelPlatformType.OPENAI_COMPATIBLE_MODEL,
        model_type=task["model"],
        url=task["base_url"],
        api_key=task["api_key"],
        model_config_dict={"temperature": 0, "max_tokens": 128},
    )
    tools = [FunctionTool(calculator), FunctionTool(convert_units)]
    return str(
        ChatAgent("Answer with a number. Use the tools.", model=model, tools=tools).step(question(task)).msg.content
    )


serve(answer)
