"""CrewAI, a crew of one. Needs: crewai."""

import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from hosting import question, serve
from tools import calculator, convert_units

TOOLS = [tool(calculator), tool(convert_units)]


def answer(given: dict) -> str:
    llm = LLM(model=f"openai/{given['model']}", base_url=given["base_url"], api_key=given["api_key"], max_tokens=128)
    agent = Agent(role="Clerk", goal="Answer with a number", backstory="Exact.", tools=TOOLS, llm=llm, max_iter=3)
    task = Task(description=question(given), expected_output="A number", agent=agent)
    return str(Crew(agents=[agent], tasks=[task], verbose=False).kickoff())


serve(answer)
