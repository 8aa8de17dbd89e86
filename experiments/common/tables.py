"""Tables as markdown, and the numbers in them."""

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def short(value: float, digits: int = 2) -> str:
    """A number without the zero before its point.

    Example:
      >>> short(0.456), short(-0.3), short(1.0)
      ('.46', '-.30', '1.00')
    """
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def with_interval(value: float, interval: Sequence[float], digits: int = 2) -> str:
    """A number with its interval.

    Example:
      >>> with_interval(0.456, (-0.1, 1.0))
      '.46 [-.10, 1.00]'
    """
    low, high = (short(end, digits) for end in interval)
    return f"{short(value, digits)} [{low}, {high}]"
