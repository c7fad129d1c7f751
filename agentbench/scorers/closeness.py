"""How near two numbers are, with all their digits: a float has 53 bits, and a large integer needs more."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

Number = int | float | Decimal

CONTEXT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""Differences are rounded to so many digits, so that no length of a number makes one costly."""


def exact(value: Number) -> Decimal:
    """The number as it is written: 0.1 is a tenth, not the float next to it."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def is_close(a: Number, b: Number, *, relative: Number = 0, absolute: Number = 0) -> bool:
    """As `math.isclose`, for numbers of any size; NaN and the infinities are close to nothing."""
    left, right = exact(a), exact(b)
    if not (left.is_finite() and right.is_finite()):
        return False
    difference = CONTEXT.abs(CONTEXT.subtract(left, right))
    larger = max(CONTEXT.abs(left), CONTEXT.abs(right))
    return difference <= max(CONTEXT.multiply(exact(relative), larger), exact(absolute))
