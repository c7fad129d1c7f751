"""OpenAI's Agents SDK over chat completions. Needs: openai-agents."""

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from hosting import Task, question, serve
from openai import AsyncOpenAI
from tools import calculator, convert_units

set_tracing_disabled(True)


def answer(task: Task) -> str:
    client = AsyncOpenAI(base_url=task["base_url"], api_key=task["api_key"])
    agent = Agent(
        name="arithmetic",
        instructions="Answer with a number. Use the tools.",
        tools=[function_tool(calculator), function_tool(convert_units)],
        model=OpenAIChatCompletionsModel(model=task["model"], openai_client=client),
        model_settings=ModelSettings(temperature=0, max_tokens=128),
    )
    return str(Runner.run_sync(agent, question(task), max_turns=6).final_output)


serve(answer)
