"""How the simulator behaves in one call: said by headers, by the request's metadata, or by the server's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

HEADER = "x-sim-"

ERRORS = frozenset({"400", "401", "404", "429", "500", "503", "529"})
"""Faults that answer an error before the first byte; not billed."""

FAULTS = ERRORS | {
    "hang",  # no answer until the client leaves, at most 60 s; billed
    "cut",  # the connection closes in the middle of the answer
    "malformed-frame",  # one broken SSE frame in the middle, the rest is fine
    "broken-usage",  # negative numbers and words where counts belong
    "no-usage",  # the answer says nothing about its usage
    "not-json",  # 200 and a page of HTML
    "failed",  # stream: an error object after half of the text, in place of the rest, inside the 200
    "gzip",  # compressed, whatever the client accepts
    "repeat-id",  # every such answer has the same id
    "truncate",  # unary: fewer bytes than content-length says; stream: ends cleanly before its closing events
}

WITHHOLDING = frozenset({"broken-usage", "no-usage", "not-json", "truncate", "failed"})
"""Faults after which no client can know from the answer what it used."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one call does; as headers the names have dashes: ``x-sim-output-tokens: 5``."""

    output_tokens: int = 32
    """Tokens each choice would have without a cap, reasoning included."""
    input_tokens: int | None = None
    """All input; None counts the text of the request."""
    cached_tokens: int = 0
    """Input read from the cache."""
    cache_write_tokens: int = 0
    """Input written to the cache, the hour's included."""
    cache_write_1h_tokens: int = 0
    """Input written for an hour; only Anthropic's dialect has it."""
    reasoning_tokens: int = 0
    """Hidden tokens of each choice."""
    latency_ms: int = 0
    """Milliseconds before the first byte."""
    pace_ms: int = 0
    """Milliseconds between two chunks of text."""
    chunk_tokens: int = 8
    """Tokens of one chunk of text."""
    chunks: int | None = None
    """How many chunks the text comes in, instead of chunk_tokens."""
    stall_after: int | None = None
    """The number of chunks after which the stream pauses once."""
    stall_ms: int = 1000
    """Milliseconds of that pause."""
    retry_after: int | None = None
    """Seconds in the retry-after header of an error."""
    fault: str = ""
    """One of FAULTS, or nothing."""
    polls: int = 1
    """How often a call in the background or a batch is found unfinished."""
    label: str = ""
    """Written into the bill, so that a test finds its call."""

    def of(self, kind: str) -> int:
        """Tokens of a class beside the totals: ``cache_read``, ``cache_write``, ``cache_write_1h``, ``reasoning``."""
        return {
            "cache_read": self.cached_tokens,
            "cache_write": self.cache_write_tokens,
            "cache_write_1h": self.cache_write_1h_tokens,
            "reasoning": self.reasoning_tokens,
        }[kind]

    def changed(self, said: Mapping[str, object]) -> "Behaviour":
        """This behaviour with some of its fields said anew, by their dashed names.

        Raises ValueError that names the field, the value and what would be right.
        """
        known: dict[str, Any] = {_field(name): _value(name, value) for name, value in said.items()}
        return replace(self, **known)


_TEXTS = frozenset({"fault", "label"})
_NAMES = {f.name.replace("_", "-"): f.name for f in fields(Behaviour)}
_AT_LEAST = {"chunk-tokens": 1, "chunks": 1, "input-tokens": 1}


def _field(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"{name!r} is not something the simulator does: use one of {', '.join(_NAMES)}")
    return _NAMES[name]


def _value(name: str, value: object) -> object:
    if name in _TEXTS:
        text = str(value)
        if name == "fault" and text and text not in FAULTS:
            raise ValueError(f"fault {text!r} is unknown: use one of {', '.join(sorted(FAULTS))}, or nothing")
        return text
    least = _AT_LEAST.get(name, 0)
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < least:
        raise ValueError(f"{name} {value!r} is not a count: use a whole number, {least} or more")
    return number


def said_by_headers(headers: Mapping[str, str]) -> dict[str, object]:
    """What ``x-sim-*`` headers say; the names in headers are lower case."""
    return {name[len(HEADER) :]: value for name, value in headers.items() if name.startswith(HEADER)}


def said_by_text(text: str) -> dict[str, object]:
    """What a line such as ``output-tokens=5;fault=cut`` says."""
    parts = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in parts}
