"""Money: integers of nano-USD inside, decimal strings outside, never a float."""

import re
from decimal import Decimal

NANOS_PER_USD = 1_000_000_000

_USD = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def parse_usd(text: object) -> int:
    """The nano-USD of a decimal string such as ``"200.00"``.

    Raises ValueError with the way out for anything else: a float has already lost cents before we see it, and a
    negative amount has no meaning for a limit.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool) and abs(text) < 10**12:
        written = repr(text).lstrip("-")
        amount = written if _USD.fullmatch(written) else f"{abs(text):.2f}"
        raise ValueError(f'{text!r} is a number: write money as a quoted decimal string, such as "{amount}"')
    if not isinstance(text, str) or not _USD.fullmatch(text):
        written = str(text).lower() if isinstance(text, bool) else repr(text)[:80]
        raise ValueError(
            f"{written} is not an amount: write dollars as a quoted decimal string without sign, at most 12 digits"
            ' before and 9 after the point, such as "200.00"'
        )
    return int(Decimal(text) * NANOS_PER_USD)


def format_usd(nanos: int) -> str:
    """The exact decimal string of an amount, with at least two places: ``171.20``, ``0.000001``."""
    sign, whole, rest = "-" if nanos < 0 else "", *divmod(abs(nanos), NANOS_PER_USD)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient rounded up, for worst cases."""
    return -(-numerator // denominator)


def round_div(numerator: int, denominator: int) -> int:
    """The quotient rounded half up, for what a call really cost; the numerator is not negative."""
    return (2 * numerator + denominator) // (2 * denominator)
