"""The tools of this suite: a calculator and a unit converter."""

import ast
import math
import operator
from collections.abc import Callable

OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
}

UNITS: dict[str, tuple[str, float]] = {
    "mm": ("length", 0.001),
    "cm": ("length", 0.01),
    "m": ("length", 1.0),
    "km": ("length", 1000.0),
    "inch": ("length", 0.0254),
    "foot": ("length", 0.3048),
    "yard": ("length", 0.9144),
    "mile": ("length", 1609.344),
    "g": ("mass", 0.001),
    "kg": ("mass", 1.0),
    "tonne": ("mass", 1000.0),
    "ounce": ("mass", 0.028349523125),
    "pound": ("mass", 0.45359237),
    "ml": ("volume", 0.001),
    "l": ("volume", 1.0),
    "gallon": ("volume", 3.785411784),
    "s": ("time", 1.0),
    "min": ("time", 60.0),
    "h": ("time", 3600.0),
    "day": ("time", 86400.0),
}
TEMPERATURES = ("celsius", "fahrenheit", "kelvin")


def calculator(expression: str) -> float:
    """Work out an arithmetic expression.

    Args:
        expression: Numbers, + - * / // % **, parentheses, sqrt, abs, round, min, max; e.g. "(3 + 4) * 2.5"
    """
    if len(expression) > 200:
        raise ValueError("the expression is longer than 200 characters")
    return _value(ast.parse(expression.strip(), mode="eval").body)


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(argument) for argument in arguments))
    raise ValueError(f"only numbers, + - * / // % **, parentheses and {', '.join(FUNCTIONS)} are understood")


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > 64 or abs(base) > 1e9:
        raise ValueError("the power is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the power is not a real number")
    return float(result)


def convert_units(value: float, from_unit: str, to_unit: str) -> float:
    """Convert a value from one unit to another of the same kind.

    Args:
        value: The value to convert.
        from_unit: A unit of length, mass, volume, time or temperature, such as mile, kg, l, h or celsius.
        to_unit: The unit wanted, of the same kind.
    """
    if from_unit in TEMPERATURES and to_unit in TEMPERATURES:
        return _from_kelvin(_to_kelvin(value, from_unit), to_unit)
    for unit in (from_unit, to_unit):
        if unit not in UNITS:
            raise ValueError(f"unknown unit {unit!r}; known: {', '.join([*UNITS, *TEMPERATURES])}")
    (kind, size), (wanted_kind, wanted_size) = UNITS[from_unit], UNITS[to_unit]
    if kind != wanted_kind:
        raise ValueError(f"{from_unit} is a unit of {kind}, {to_unit} of {wanted_kind}")
    return value * size / wanted_size


def _to_kelvin(value: float, unit: str) -> float:
    return {"celsius": value + 273.15, "fahrenheit": (value - 32) * 5 / 9 + 273.15, "kelvin": value}[unit]


def _from_kelvin(value: float, unit: str) -> float:
    return {"celsius": value - 273.15, "fahrenheit": (value - 273.15) * 9 / 5 + 32, "kelvin": value}[unit]
