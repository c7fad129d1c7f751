"""Jinja2's sandbox with bounds on time and memory: a chat template is a program that a model's file brings."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_SOURCE = 2**20  # characters
MAX_TURNS = 1_000_000  # of all loops of a rendering together
MAX_CHARACTERS = 2**26  # of all that a rendering makes, what it throws away included
MAX_SECONDS = 10.0
MAX_BITS = 4096  # of a whole number
_WIDE = re.compile(r"\d{5,}|\*")  # a width in a format
_BUDGET: ContextVar["Budget"] = ContextVar("budget")


class TooMuch(TemplateError):
    """The rendering reached a bound."""


class Budget:
    """What is left of one rendering's bounds."""

    def __init__(self) -> None:
        self._turns = MAX_TURNS
        self._characters = MAX_CHARACTERS
        self._deadline = time.monotonic() + MAX_SECONDS

    def turn(self) -> None:
        self._turns -= 1
        if self._turns < 0:
            raise TooMuch(f"it loops more than {MAX_TURNS} times")
        if time.monotonic() > self._deadline:
            raise TooMuch(f"it takes more than {MAX_SECONDS:g} s")

    def make(self, characters: int) -> None:
        self._characters -= characters
        if self._characters < 0:
            raise TooMuch(f"it makes more than {MAX_CHARACTERS} characters")


def rendered(template: Any, **variables: Any) -> str:
    """The template's text. Raises `TooMuch`, and what the template raises."""
    budget = Budget()
    token = _BUDGET.set(budget)
    try:
        pieces: list[str] = []
        for piece in template.generate(**variables):
            budget.make(len(piece))
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _BUDGET.reset(token)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Loops are counted and values measured before they are made. Nothing is computed when a template is read."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag], optimized=False
        )
        self.globals.pop("lipsum", None)
        for name in ("center", "format", "indent", "join", "replace", "wordwrap", "batch", "slice"):
            self.filters[name] = _measured_filter(name, self.filters[name])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"it has more than {MAX_SOURCE} characters", 1)
        tree: nodes.Template = _Counted().visit(Parser(self, source, name, filename).parse())
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _measure_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | bytes):
            _measure_call(obj.__name__, owner, (*args, *kwargs.values()))
        return super().call(context, obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format`, which the sandbox has replaced by its own before it is called."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def measured(*arguments: Any, **named: Any) -> str:
            _measure_call("format", value.__self__, (*arguments, *named.values()))
            return wrapped(*arguments, **named)

        return measured


class GenerationTag(Extension):
    """`{% generation %} … {% endgeneration %}`, which marks what a model is trained on, is its content alone."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _Counted(NodeTransformer):
    """Puts the bounds where Jinja2 has no hook: around what loops go over, and around `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _called("counted", [node.iter], node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _called("joined", node.nodes, node.lineno)


def _called(function: str, arguments: Sequence[nodes.Node], line: int) -> nodes.Call:
    name = nodes.ImportedName(f"{__name__}.{function}", lineno=line)
    return nodes.Call(name, list(arguments), [], None, None, lineno=line)


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes over, each turn of it counted."""
    budget = _BUDGET.get()
    for value in values:
        budget.turn()
        yield value


def joined(*values: Any) -> str:
    """`~`"""
    texts = [str(value) for value in values]
    _BUDGET.get().make(sum(map(len, texts)))
    return "".join(texts)


def _make(characters: int) -> None:
    """Nothing is counted while a template is read: Jinja2 tries filters on constants then."""
    _BUDGET.get(Budget()).make(characters)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _text_size(value: Any) -> int:
    """Of a text, or of the texts in a list together."""
    return sum(map(_size, value)) if isinstance(value, list | tuple) else _size(value)


def _measure_operation(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = {"**": left.bit_length() * max(0, right), "*": left.bit_length() + right.bit_length()}
        if bits.get(operator, 0) > MAX_BITS:
            raise TooMuch(f"it computes with numbers of more than {MAX_BITS} bits")
    elif operator == "*":
        _make(_size(left) * right if isinstance(right, int) else _size(right) * left if isinstance(left, int) else 0)
    elif operator == "+":
        _make(_size(left) + _size(right))
    elif operator == "%" and isinstance(left, str | bytes):
        _measure_call("format", left, (right,))


def _measure_call(method: str, owner: str | bytes, arguments: tuple[Any, ...]) -> None:
    """Before a text's method is called, by what it may make at most."""
    _make(max((value for value in arguments if isinstance(value, int) and not isinstance(value, bool)), default=0))
    if method == "join" and arguments:
        _make(_text_size(arguments[0]) + len(owner) * _size(arguments[0]))
    elif method == "replace" and len(arguments) > 1:
        _make(len(owner) + (len(owner) + 1) * _size(arguments[1]) // max(1, _size(arguments[0])))
    elif method in ("format", "format_map"):
        if _WIDE.search(owner if isinstance(owner, str) else owner.decode("latin-1")):
            raise TooMuch("it formats with a width of five digits or more, or with one that is computed")
        _make(len(owner) + sum(map(_text_size, arguments)))


def _measured_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, measured as the method of the same name; `wraps` keeps what Jinja2 has marked it with."""

    @wraps(function)
    def measured(*arguments: Any, **named: Any) -> Any:
        values = [value for value in (*arguments, *named.values()) if not isinstance(value, Environment)]
        texts = [value for value in values if isinstance(value, str | list | tuple)]
        numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        lines = texts[0].count("\n") + 1 if texts and isinstance(texts[0], str) else 1
        _make(lines * max(numbers, default=0))
        if name == "join" and texts:
            between = _size(texts[1]) if len(texts) > 1 else 0
            _make(_text_size(texts[0]) + between * len(texts[0]))
        elif name in ("replace", "format") and texts and isinstance(texts[0], str):
            _measure_call(name, texts[0], tuple(texts[1:]))
        return function(*arguments, **named)

    return measured
