"""CAMEL's chat agent. Needs: camel-ai, mcp<2."""

from camel.agents import ChatAgent
from camel.models import OpenAICompatibleModel
from camel.toolkits import FunctionTool
from camel.utils import BaseTokenCounter
from hosting import Task, question, serve
from tools import calculator, convert_units

TOOLS = [FunctionTool(calculator), FunctionTool(convert_units)]


class Words(BaseTokenCounter):
    """Counts words: CAMEL's own counter would fetch an encoding over the network."""

    def count_tokens_from_messages(self, messages):
        return sum(len(str(message).split()) for message in messages)

    encode, decode = str.split, " ".join


def answer(task: Task) -> str:
    where, limits = (task["api_key"], task["base_url"]), {"temperature": 0, "max_tokens": 128}
    model = OpenAICompatibleModel(task["model"], limits, *where, token_counter=Words())
    reply = ChatAgent("Answer with a number. Use the tools.", model=model, tools=TOOLS).step(question(task))
    return str(reply.msg.content)


serve(answer)
