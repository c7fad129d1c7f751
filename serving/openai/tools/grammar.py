"""Grammars of tool calls in the model's own format."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from serving.openai.grammar import json_rule, lark
from serving.openai.json_schema import NO_ARGUMENTS, Schema
from serving.openai.tools.format import ANY_ID, HERMES, CallFormat, KeyedArguments

MOST_CALLS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableFunction:
    """A function that the model may call. `strict`: a schema keyword that can't be enforced is an error."""

    name: str
    parameters: Schema | None = None
    strict: bool = False


def arguments_grammar(function: CallableFunction, form: CallFormat = HERMES) -> str:
    """The rest of a call of `function` after `before`, its name and `middle`."""
    rules = _Rules(form)
    return rules.grammar(f"{rules.text(_stripped(form.middle))} {rules.arguments(function)} {rules.ending}")


def choice_grammar(functions: Sequence[CallableFunction], form: CallFormat = HERMES) -> str:
    """The rest of a call of one of the functions after `before`."""
    rules = _Rules(form)
    closing = rules.text("}" * (len(form.after) - len(form.after.lstrip("}")))) if form.keyed is None else rules.ending
    return rules.grammar(f"{rules.text(_stripped(form.before))} ({rules.calls(functions)}) {closing}")


def auto_grammar(
    functions: Sequence[CallableFunction], answer: Schema | None, most_calls: int, form: CallFormat = HERMES
) -> str:
    """A free text (or JSON that fits `answer`), or a text and then one to `most_calls` calls.

    Any text fits in a format without a tag: such a text is told from a call only when it is read.
    """
    rules = _Rules(form)
    if answer is None and not form.tag:
        return rules.grammar("TEXT")
    rules.add(f"call: {rules.calls(functions)}")
    more = most_calls - 1 if form.between else 0
    another = f"({rules.text(form.between)} call){{0,{more}}}" if more else ""
    calls = f"{rules.text(form.lead)} call {another} {rules.text(form.after)}"
    if answer is not None:
        return rules.grammar(f"{json_rule(answer, lenient=False)} | {rules.text(form.tag)} {calls}")
    first, *rest = rules.pieces(form.tag)
    if first in form.special:  # a text has no such token
        return rules.grammar(f"TEXT | TEXT {rules.text(form.tag)} {calls}")
    rules.add(f"trigger[lazy]: TEXT {_literal(first)}")
    return rules.grammar(f"TEXT | trigger {rules.text(''.join(rest))} {calls}")


def forced_text(text: str) -> str:
    """The end of a prompt: a space there belongs to the next token in most vocabularies."""
    return text.replace(ANY_ID, "call00001").rstrip(" ")


def _stripped(text: str) -> str:
    """What `forced_text` leaves to the grammar."""
    return text[len(text.rstrip(" ")) :]


class _Rules:
    """The rules of one grammar. A line end of the format may be left out; control tokens stand as tokens."""

    def __init__(self, form: CallFormat) -> None:
        self._form = form
        self._rules = ["NEWLINE: /\\n?/", "TEXT: /(.|\\n)*/"]
        self._numbers = count()
        self.special = form.special
        special = "|".join(map(re.escape, sorted(form.special, key=len, reverse=True)))
        self._pieces = re.compile(f"({special}|\\n|{ANY_ID})" if special else f"(\\n|{ANY_ID})")

    def grammar(self, start: str) -> str:
        return lark(f"start: {start}", *self._rules)

    def add(self, rule: str) -> None:
        self._rules.append(rule)

    def pieces(self, text: str) -> list[str]:
        """The text cut at control tokens and line ends, which are pieces of their own."""
        return [piece for piece in self._pieces.split(text) if piece] or [""]

    def text(self, text: str) -> str:
        return " ".join(map(self._term, self.pieces(text)))

    def _term(self, piece: str) -> str:
        if piece in self._form.special:
            return f"<[{self._form.special[piece]}]>"
        if piece == ANY_ID:
            return "/[a-zA-Z0-9]{9}/"
        return "NEWLINE" if piece == "\n" else _literal(piece)

    @property
    def ending(self) -> str:
        """What shows that no argument follows. An object's own brace does."""
        return '""' if self._form.keyed is None else self.text(self._form.after)

    def calls(self, functions: Sequence[CallableFunction]) -> str:
        """A name, what follows it and the arguments, of one of the functions."""
        in_json = self._form.before.endswith('"')
        names = [_quoted(function.name)[1:-1] if in_json else function.name for function in functions]
        return " | ".join(
            f"{_literal(name)} {self.text(self._form.middle)} {self.arguments(function)}"
            for name, function in zip(names, functions, strict=True)
        )

    def arguments(self, function: CallableFunction) -> str:
        parameters = function.parameters or NO_ARGUMENTS
        keyed = self._form.keyed
        if keyed is None:
            return json_rule(parameters, lenient=not function.strict)
        return _KeyedRules(self, keyed, parameters, strict=function.strict).arguments()

    def rule(self, body: str, attributes: str = "") -> str:
        """The name of a new rule."""
        name = f"part{next(self._numbers)}"
        self.add(f"{name}{attributes}: {body}")
        return name


class _KeyedRules:
    """Arguments as keys and values, in the order of the schema's properties. Other keys are not allowed."""

    def __init__(self, rules: _Rules, keyed: KeyedArguments, parameters: Schema, *, strict: bool) -> None:
        self._rules = rules
        self._keyed = keyed
        self._parameters = parameters
        self._strict = strict

    def arguments(self) -> str:
        properties = self._parameters.get("properties")
        required = self._parameters.get("required") or ()
        separator = self._rules.text(self._keyed.separator)
        first = later = self._rules.rule('""')  # what may follow where no argument has come, and where one has
        for key, schema in reversed([*(properties or {}).items()]):
            argument = self._rules.rule(self._argument(key, schema))
            if key in required:
                first, later = f"{argument} {later}", f"{separator} {argument} {later}"
            else:
                first, later = f"{argument} {later} | {first}", f"({separator} {argument})? {later}"
            first, later = self._rules.rule(first), self._rules.rule(later)
        return first

    def _argument(self, key: str, schema: Any) -> str:
        rules, keyed = self._rules, self._keyed
        options = " | ".join(self._values(schema if isinstance(schema, Mapping) else {}))
        return f"{rules.text(keyed.opening)} {_literal(key)} {rules.text(keyed.middle)} ({options})"

    def _values(self, schema: Schema) -> Iterator[str]:
        """The ways to write a value, with what closes it."""
        options = [schema["const"]] if "const" in schema else schema.get("enum")
        types = schema.get("type")
        if isinstance(options, list):
            yield from map(self._option, options)
        elif isinstance(schema.get("anyOf"), list):
            for option in schema["anyOf"]:
                of_option = option if isinstance(option, Mapping) else {}
                yield from self._values({**{k: v for k, v in schema.items() if k != "anyOf"}, **of_option})
        elif isinstance(types, list):
            for each in types:
                yield from self._values({**schema, "type": each})
        elif types == "string":
            yield self._text()
        else:
            yield f"{self._literals(schema)} {self._closing}"

    @property
    def _closing(self) -> str:
        return self._rules.text(self._keyed.closing)

    @property
    def _is_python(self) -> bool:
        return self._keyed.literals == "python"

    def _option(self, value: Any) -> str:
        if isinstance(value, str) and not self._is_python:
            quote = self._rules.text(self._keyed.quote)
            return f"{quote} {_literal(value)} {quote} {self._closing}"
        return f"{_literal(repr(value) if self._is_python else _quoted(value))} {self._closing}"

    def _text(self) -> str:
        if self._is_python:
            return f"{_PYTHON_TEXT} {self._closing}"
        quote = self._keyed.quote
        if quote in self._rules.special:
            return f"{self._rules.text(quote)} TEXT {self._rules.text(quote)} {self._closing}"
        end = quote or self._keyed.closing
        until = self._rules.rule(f"TEXT {_literal(end)}", "[lazy]")
        return f"{self._rules.text(quote)} {until} {self._closing if quote else ''}"

    def _literals(self, schema: Schema) -> str:
        if self._is_python and schema.get("type") in ("boolean", "null"):
            return '("True" | "False")' if schema["type"] == "boolean" else '"None"'
        definitions = {key: self._parameters[key] for key in ("$defs", "definitions") if key in self._parameters}
        return json_rule({**schema, **definitions}, lenient=not self._strict)


_PYTHON_TEXT = r"""/"([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'/"""


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
