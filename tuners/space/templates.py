"""Instructions that are known to help, by name; the words are ours."""

from collections.abc import Mapping
from typing import Literal

TemplateName = Literal["chain_of_thought", "plan_then_act", "decompose", "terse", "check", "read_closely"]

TEMPLATES: Mapping[TemplateName, str] = {
    "chain_of_thought": (
        "Think the task through one step after another before you answer. Say what is given, what is asked, and what"
        " follows from it. Then give the answer in the form that was asked for."
    ),
    "plan_then_act": (
        "First make a plan of a few steps, and decide which tool each step needs. Then carry the plan out in order, and"
        " change it when a result says that it is wrong."
    ),
    "decompose": (
        "Take the task apart into the smallest questions that can be answered on their own. Answer them one by one, and"
        " put the answers together to that of the whole."
    ),
    "terse": "Answer with what was asked for and nothing else: no greeting, no explanation, no word of the question.",
    "check": (
        "When you have an answer, compare it with the task word by word: every name, number and unit, every condition."
        " Mend what differs before you give it."
    ),
    "read_closely": (
        "Read every word of the task and of the tools' descriptions. Take values over as they stand there, and make up"
        " none that are not given."
    ),
}
