"""LlamaIndex's function agent. Needs: llama-index-core, llama-index-llms-openai-like."""

import asyncio

from hosting import Task, question, serve
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from tools import calculator, convert_units


async def run(task: Task) -> str:
    model = OpenAILike(
        model=task["model"],
        api_base=task["base_url"],
        api_key=task["api_key"],
        is_chat_model=True,
        is_function_calling_model=True,
        temperature=0,
        max_tokens=128,
    )
    agent = FunctionAgent(tools=[calculator, convert_units], llm=model, system_prompt="Use the tools.")
    return str(await agent.run(user_msg=question(task), max_iterations=6))


serve(lambda task: asyncio.run(run(task)))
