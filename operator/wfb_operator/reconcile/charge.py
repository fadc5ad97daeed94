"""One line of a provider's export, and models' names brought to one form."""

import datetime
import re
from dataclasses import dataclass, field
from decimal import Decimal

TOKEN_KINDS = ("input", "cache_read", "cache_write", "output")


class ExportError(Exception):
    """What is wrong with an export: the file, the line or field, what was found, and what was expected."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider says of one UTC day and model; one of many lines that add up."""

    day: datetime.date
    model: str
    """As the export names it; empty where it does not tell models."""
    usd: Decimal | None = None
    """None in an export of usage without cost."""
    tokens: dict[str, int] = field(default_factory=dict)
    """By ``TOKEN_KINDS``; empty in an export of cost alone."""
    calls: int = 0
    batch: bool = False
    other: bool = False
    """A charge that is not for tokens: search, storage, code execution."""
    credit: bool = False
    """Money that the provider gives back."""


_DATE = re.compile(r"[-@]?(20\d{2})-?(\d{2})-?(\d{2})(?=$|\D)")
_VERSION = re.compile(r"-v\d+(:\d+)?$")
_PARTS = re.compile(r"[a-z]+|\d+")

_NOISE = frozenset(
    [
        "anthropic",
        "us",
        "eu",
        "apac",
        "global",
        "amazon",
        "meta",
        "mistral",
        "models",
        "google",
        "openai",
        "publishers",
        "text",
        "input",
        "output",
        "prediction",
        "predictions",
        "token",
        "tokens",
        "count",
        "thinking",
        "cached",
        "caching",
        "cache",
        "read",
        "write",
        "batch",
        "long",
        "short",
        "context",
        "usage",
        "hour",
        "hours",
        "latest",
        "use",
        "usw",
        "euw",
        "apn",
        "aps",
        "model",
        "the",
        "and",
        "mantle",
        "storage",
    ]
)
"""Words of names that do not tell models apart: makers, regions, kinds of tokens."""

type ModelKey = tuple[tuple[str, ...], tuple[str, ...]]


def model_key(name: str) -> ModelKey:
    """What is the same for the names that APIs, consoles and bills give one model.

    ``claude-sonnet-4-5-20250929``, ``Claude Sonnet 4.5`` and ``us.anthropic.claude-sonnet-4-5-20250929-v1:0`` agree.
    """
    plain = _VERSION.sub("", name.strip().lower().rpartition("/")[2])
    plain = _DATE.sub("", plain)
    parts = [part for part in _PARTS.findall(plain) if part not in _NOISE]
    return tuple(sorted(p for p in parts if not p.isdigit())), tuple(p for p in parts if p.isdigit())
