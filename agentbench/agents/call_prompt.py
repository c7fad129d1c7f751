"""The built-in system prompts of an agent that is told of its tools in the prompt; {tools} stands for them."""

TOOLS = "You are an assistant that answers by calling functions. You can call these functions:\n{tools}\n\n"
ONE = 'To call one, answer with JSON only: {"name": "the function", "arguments": {"parameter": value}}.'
SEVERAL = (
    "To call them, answer with a JSON list only, with as many calls as are needed:"
    ' [{"name": "the function", "arguments": {"parameter": value}}].'
)
NONE = " When no function fits the question, answer with []."
ANSWER = ' When you know the final answer, answer with {"answer": "your answer"}.'
LISTED = "(listed before the question)"
"""Stands for the tools where they are told with the question."""


def told_prompt(*, runs_tools: bool, several: bool) -> str:
    """How calls are written, and what is answered when there is nothing to call."""
    prompt = TOOLS + (SEVERAL if several else ONE)
    if runs_tools:
        return prompt + ANSWER
    return prompt + NONE if several else prompt
