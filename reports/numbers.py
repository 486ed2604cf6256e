"""Numbers as people read them: fixed decimals, a true minus sign, and a dash where there is no number."""

from __future__ import annotations

import math
import re

MISSING = "–"


def finite(value: float | None) -> float | None:
    """A number that can be shown, or None: a result file holds null where a measurement has no value.

    >>> finite(float("nan")), finite(2.5)
    (None, 2.5)
    """
    return value if value is not None and math.isfinite(value) else None


def format_number(value: float | None) -> str:
    """A number with three decimals, or with three significant digits where it is very small or large.

    >>> [format_number(value) for value in (2.8614, -4.91, 0.00004, 123456.7, None)]
    ['2.861', '−4.910', '4.00e−05', '1.23e+05', '–']
    """
    value = finite(value)
    if value is None:
        return MISSING
    plain = value == 0 or 0.0005 <= abs(value) < 10_000
    return (f"{value:.3f}" if plain else f"{value:.2e}").replace("-", "−")


def format_change(value: float | None) -> str:
    """A signed difference; one that rounds to zero is shown as ±0.

    >>> [format_change(value) for value in (0.306, -0.032, 0.0001, None)]
    ['+0.306', '−0.032', '±0.000', '–']
    """
    value = finite(value)
    if value is None:
        return MISSING
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "±0.000"


def format_count(value: int | None) -> str:
    """A number of things, with commas between thousands.

    >>> format_count(12345), format_count(None)
    ('12,345', '–')
    """
    return MISSING if value is None else f"{value:,}"


def format_added(value: int) -> str:
    """A signed number of things.

    >>> format_added(160), format_added(-3), format_added(0)
    ('+160', '−3', '±0')
    """
    return f"{value:+,}".replace("-", "−") if value else "±0"


def format_p_value(value: float | None) -> str:
    """A p-value to three decimals.

    >>> [format_p_value(value) for value in (0.0301, 0.00002, None)]
    ['0.030', '<0.001', '–']
    """
    value = finite(value)
    if value is None:
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def format_signs(sentence: str) -> str:
    """A verdict's sentence, which is plain ASCII, with the true minus sign that other numbers have.

    >>> format_signs("R fell from 3.640 to 3.628 (-0.3%), x-5 on 2031-03-31.")
    'R fell from 3.640 to 3.628 (−0.3%), x-5 on 2031-03-31.'
    """
    return re.sub(r"(?<![^\s(])-(?=\.?\d)", "−", sentence)


def format_share(value: float | None) -> str:
    """A share, between 0 and 1, in per cent.

    >>> format_share(0.0823), format_share(None)
    ('8.2%', '–')
    """
    return MISSING if value is None else f"{value:.1%}"
