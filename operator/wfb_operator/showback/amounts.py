"""Amounts of the books' rows as integers, and rows added up."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from wfb_core.money import NANOS_PER_USD

COUNTS = (
    "calls",
    "refused",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
AMOUNTS = {"nanos": "usd", "list_nanos": "list_usd"}

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
"""Tokens that add up to all; reasoning tokens are part of the output."""


def nanos(text: object) -> int:
    """The nano-USD of an exact decimal string, which may have a sign."""
    return int(Decimal(str(text)) * NANOS_PER_USD)


def counted(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the books with its amounts in nano-USD, and what of them was not metered exactly."""
    found = {name: row.get(name, 0) for name in COUNTS}
    found |= {name: nanos(row.get(text, "0")) for name, text in AMOUNTS.items()}
    return found | {"estimated_nanos": found["nanos"] if row.get("estimated") else 0}


def added(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    """Rows of the books added up by some of their dimensions, dearest first."""
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in rows:
        key, counts = tuple(row.get(name, "") for name in by), counted(row)
        known = sums.setdefault(key, dict.fromkeys(counts, 0))
        for name, count in counts.items():
            known[name] += count
    return dict(sorted(sums.items(), key=lambda item: (-item[1]["nanos"], tuple(map(str, item[0])))))


def nothing() -> dict[str, int]:
    """The sums of no rows."""
    return counted({})


def less(whole: Mapping[str, int], parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What is left of a sum without some of its parts."""
    left = dict(whole)
    for part in parts:
        for name in left:
            left[name] -= part[name]
    return left
