"""Jinja2's sandbox with limits on time and memory, since a chat template is an untrusted program in a model's file."""

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

MAX_SOURCE_CHARACTERS = 2**20
MAX_ITERATIONS = 1_000_000  # over all loops of one rendering
MAX_CHARACTERS = 2**26  # over all texts that one rendering creates, temporary ones included
MAX_SECONDS = 10.0
MAX_BITS = 4096  # of an integer
_LARGE_WIDTH = re.compile(r"\d{5,}|\*")  # in a format string
_BUDGET: ContextVar["Budget"] = ContextVar("budget")


class LimitExceeded(TemplateError):
    """The rendering exceeded a limit."""


class Budget:
    """The rest of the limits of one rendering."""

    def __init__(self) -> None:
        self._iterations = MAX_ITERATIONS
        self._characters = MAX_CHARACTERS
        self._deadline = time.monotonic() + MAX_SECONDS

    def count_iteration(self) -> None:
        self._iterations -= 1
        if self._iterations < 0:
            raise LimitExceeded(f"it loops more than {MAX_ITERATIONS} times")
        if time.monotonic() > self._deadline:
            raise LimitExceeded(f"it takes more than {MAX_SECONDS:g} s")

    def count_characters(self, characters: int) -> None:
        self._characters -= characters
        if self._characters < 0:
            raise LimitExceeded(f"it creates more than {MAX_CHARACTERS} characters")


def rendered(template: Any, **variables: Any) -> str:
    """Render the template. Raises `LimitExceeded`, and any exception of the template."""
    budget = Budget()
    token = _BUDGET.set(budget)
    try:
        pieces: list[str] = []
        for piece in template.generate(**variables):
            budget.count_characters(len(piece))
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _BUDGET.reset(token)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Counts loop iterations, and measures values before it creates them.

    `optimized=False`: Jinja2 would otherwise compute constant expressions while it compiles a template.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag], optimized=False
        )
        self.globals.pop("lipsum", None)
        for name in ("center", "format", "indent", "join", "replace", "wordwrap", "batch", "slice"):
            self.filters[name] = _measure_filter(name, self.filters[name])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE_CHARACTERS:
            raise TemplateSyntaxError(f"it has more than {MAX_SOURCE_CHARACTERS} characters", 1)
        tree: nodes.Template = _LimitInserter().visit(Parser(self, source, name, filename).parse())
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
        """Measure `str.format`, which the sandbox replaces by a method of its own before `call` sees it."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def measured(*arguments: Any, **named: Any) -> str:
            _measure_call("format", value.__self__, (*arguments, *named.values()))
            return wrapped(*arguments, **named)

        return measured


class GenerationTag(Extension):
    """Renders `{% generation %} … {% endgeneration %}` as its content. The tag marks a model's training targets."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _LimitInserter(NodeTransformer):
    """Inserts the limits where Jinja2 has no hook: the iterable of a loop, and the operator `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _call_node("count_iterations", [node.iter], node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call_node("concatenate", node.nodes, node.lineno)


def _call_node(function: str, arguments: Sequence[nodes.Node], line: int) -> nodes.Call:
    """The syntax node of a call of this module's function."""
    name = nodes.ImportedName(f"{__name__}.{function}", lineno=line)
    return nodes.Call(name, list(arguments), [], None, None, lineno=line)


def count_iterations(values: Iterable[Any]) -> Iterator[Any]:
    """The values of a loop, each counted as an iteration."""
    budget = _BUDGET.get()
    for value in values:
        budget.count_iteration()
        yield value


def concatenate(*values: Any) -> str:
    """The operator `~`, with its characters counted."""
    texts = [str(value) for value in values]
    _BUDGET.get().count_characters(sum(map(len, texts)))
    return "".join(texts)


def _count(characters: int) -> None:
    """Count characters of the current rendering.

    Outside a rendering a new budget applies: Jinja2 calls filters on constants while it compiles a template.
    """
    _BUDGET.get(Budget()).count_characters(characters)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _text_size(value: Any) -> int:
    """The characters of a text, or of all texts in a list."""
    return sum(map(_size, value)) if isinstance(value, list | tuple) else _size(value)


def _measure_operation(operator: str, left: Any, right: Any) -> None:
    """Count the characters of an operation's result before it is computed. Raises `LimitExceeded`."""
    if isinstance(left, int) and isinstance(right, int):
        bits = {"**": left.bit_length() * max(0, right), "*": left.bit_length() + right.bit_length()}
        if bits.get(operator, 0) > MAX_BITS:
            raise LimitExceeded(f"it computes with numbers of more than {MAX_BITS} bits")
    elif operator == "*":
        _count(_size(left) * right if isinstance(right, int) else _size(right) * left if isinstance(left, int) else 0)
    elif operator == "+":
        _count(_size(left) + _size(right))
    elif operator == "%" and isinstance(left, str | bytes):
        _measure_call("format", left, (right,))


def _measure_call(method: str, owner: str | bytes, arguments: tuple[Any, ...]) -> None:
    """Count an upper bound of a method's result before it is called. `owner` is the text whose method it is.

    Raises `LimitExceeded`.
    """
    _count(max((value for value in arguments if isinstance(value, int) and not isinstance(value, bool)), default=0))
    if method == "join" and arguments:
        _count(_text_size(arguments[0]) + len(owner) * _size(arguments[0]))
    elif method == "replace" and len(arguments) > 1:
        _count(len(owner) + (len(owner) + 1) * _size(arguments[1]) // max(1, _size(arguments[0])))
    elif method in ("format", "format_map"):
        if _LARGE_WIDTH.search(owner if isinstance(owner, str) else owner.decode("latin-1")):
            raise LimitExceeded("it formats with a width of five or more digits, or with a computed width")
        _count(len(owner) + sum(map(_text_size, arguments)))


def _measure_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, measured before each call. `wraps` copies the attributes that Jinja2 has set on the filter."""

    @wraps(function)
    def measured(*arguments: Any, **named: Any) -> Any:
        values = [value for value in (*arguments, *named.values()) if not isinstance(value, Environment)]
        texts = [value for value in values if isinstance(value, str | list | tuple)]
        numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
        lines = texts[0].count("\n") + 1 if texts and isinstance(texts[0], str) else 1
        _count(lines * max(numbers, default=0))
        if name == "join" and texts:
            separator = _size(texts[1]) if len(texts) > 1 else 0
            _count(_text_size(texts[0]) + separator * len(texts[0]))
        elif name in ("replace", "format") and texts and isinstance(texts[0], str):
            _measure_call(name, texts[0], tuple(texts[1:]))
        return function(*arguments, **named)

    return measured
