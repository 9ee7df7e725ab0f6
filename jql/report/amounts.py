"""Numbers as a person reads them."""

from collections.abc import Sequence

_UNITS = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))
NONE = "–"


def count(value: float | None) -> str:
    """A whole number with commas."""
    return NONE if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """Three digits and a unit: 1.23 M, 45.6 k; below a thousand the number itself."""
    if value is None:
        return NONE
    for size, unit in _UNITS:
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:,.{digits}f}{unit}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes, in units of a thousand: 1.23 MB."""
    if value is None:
        return NONE
    if abs(value) < 1000:
        return f"{value:,.0f} bytes"
    return short(value).replace(" k", " kB").replace(" M", " MB").replace(" B", " GB").replace(" T", " TB")


def percent(share: float | None) -> str:
    """A share in per cent: one digit after the point, two below 1 %."""
    if share is None:
        return NONE
    return f"{share:.2%}" if 0 < abs(share) < 0.01 else f"{share:.1%}"


def ratio(part: float | None, whole: float | None) -> float | None:
    """`part` of `whole`, None where there is nothing to divide."""
    return None if part is None or not whole else part / whole


def spanned(values: Sequence[float | None] | None, words: str = "count") -> str:
    """An estimate with the ends of its interval, `1,234 [1,100, 1,400]`, unless it has no width.

    Args:
        words: count, short, size or percent.
    """
    if not values or values[0] is None:
        return NONE
    first, *ends = (
        {"count": count, "short": short, "size": size, "percent": percent}[words](value) for value in values
    )
    wide = None not in values and len(set(values)) > 1
    return first + (f" [{', '.join(ends)}]" if wide else "")


def points(value: float | None, form: str = ".3f") -> str:
    """A figure of agreement, or another of few digits."""
    return NONE if value is None else f"{value:{form}}"


def with_interval(entry: dict[str, float | None], form: str = ".3f") -> str:
    """A figure of the agreement tables, value with low and high where there are some."""
    value, low, high = (entry.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return points(value, form)
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
