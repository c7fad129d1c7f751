"""smolagents' tool-calling agent. Needs: smolagents[openai]."""

from hosting import Task, question, serve
from smolagents import OpenAIServerModel, ToolCallingAgent, tool
from tools import calculator, convert_units

TOOLS = [tool(calculator), tool(convert_units)]


def answer(task: Task) -> str:
    model = OpenAIServerModel(
        model_id=task["model"], api_base=task["base_url"], api_key=task["api_key"], temperature=0, max_tokens=128
    )
    return str(ToolCallingAgent(tools=TOOLS, model=model, max_steps=4, verbosity_level=0).run(question(task)))


serve(answer)
