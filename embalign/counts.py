"""Counts in words: whole numbers, and an effective number for what it is; and which numbers are computed with."""

# Beyond it and below its inverse, fourth powers of values, and of what rounding leaves of them, leave the range of
# floats.
EXTREME = 1e60


def about(count: float) -> str:
    """Return a count that may be an estimate: as it is if it is whole, else near which whole number it is.

    >>> about(20.0), about(65.6), about(3151)
    ('20', 'about 66', '3,151')
    """
    return f"{count:,.0f}" if float(count).is_integer() else f"about {count:,.0f}"


def effective(count: float) -> str:
    """Return an effective number, which few large groups make smaller than their count, in one decimal at most.

    >>> effective(20.0), effective(65.62)
    ('20', '65.6')
    """
    return f"{count:.1f}".removesuffix(".0")


def exact(count: float) -> str:
    """Return a count of a table, which may hold any number, without an exponent.

    >>> exact(2_500_000.0), exact(12.5)
    ('2500000', '12.5')
    """
    return f"{count:.0f}" if float(count).is_integer() else f"{count:g}"
