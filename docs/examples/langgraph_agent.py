"""LangGraph's ReAct agent. Needs: langgraph, langchain, langchain-openai."""

from hosting import Task, question, serve
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from tools import calculator, convert_units


def answer(task: Task) -> str:
    model = ChatOpenAI(
        model=task["model"], base_url=task["base_url"], api_key=task["api_key"], temperature=0, max_tokens=128
    )
    agent = create_agent(model, [calculator, convert_units])
    result = agent.invoke({"messages": [("user", question(task))]}, {"recursion_limit": 12})
    return str(result["messages"][-1].content)


serve(answer)
