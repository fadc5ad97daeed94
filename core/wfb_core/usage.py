"""What a call used: totals with their classes, whatever shape the provider's own numbers have."""

from dataclasses import dataclass, fields
from operator import attrgetter, gt
from typing import NamedTuple

UNITS = {
    "annotated_pages": "pages read and annotated, counted apart from those only read",
    "audio_input_ms": "milliseconds of audio heard",
    "audio_output_ms": "milliseconds of audio made",
    "characters": "characters of text spoken",
    "citation_tokens": "tokens of citations that an answer was made from",
    "images": "images made where no tokens count them",
    "pages": "pages read",
    "requests": "requests, where each has a fee",
    "search_units": "searches or rankings of a reranker, as it bills them",
    "storage_searches": "searches of stored files by a hosted tool",
    "web_searches": "searches of the web by a hosted tool",
}
"""Units beside tokens and what they count."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token totals of one call; every class is already counted inside its total.

    Raises ValueError where a count is negative or a class exceeds its total: such numbers are never priced.
    """

    input_tokens: int = 0
    """All input, the cached part included."""
    cache_read_tokens: int = 0
    """Input served from a prompt cache."""
    cache_write_tokens: int = 0
    """Input written to a prompt cache, whatever its time to live; routers bill tokens that were both written and read."""
    cache_write_1h_tokens: int = 0
    """The part of cache_write_tokens that was written for an hour."""
    output_tokens: int = 0
    """All output, hidden reasoning included."""
    reasoning_tokens: int = 0
    """Output that the caller does not see."""
    audio_input_tokens: int = 0
    """The part of input_tokens that is audio."""
    image_input_tokens: int = 0
    """The part of input_tokens that is images or video."""
    audio_cache_read_tokens: int = 0
    """The part of cache_read_tokens that is audio."""
    image_cache_read_tokens: int = 0
    """The part of cache_read_tokens that is images or video."""
    audio_output_tokens: int = 0
    """The part of output_tokens that is audio."""
    image_output_tokens: int = 0
    """The part of output_tokens that is images or video."""
    units: tuple[tuple[str, int], ...] = ()
    """What is billed beside tokens: (one of UNITS, count), each name once, in the order of their names."""

    def __post_init__(self) -> None:
        if not isinstance(self.units, tuple):
            raise ValueError(f"units is {self.units!r}: a tuple of (name, count) is expected")
        for name, count in self.units:
            if name not in UNITS or not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ValueError(f"unit {name} is {count!r}: it is no known unit, or no whole number, zero or more")
        counts = _COUNTS(self)
        if set(map(type, counts)) != {int} or min(counts) < 0:
            for name, value in zip(_COUNTED, counts, strict=True):
                if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                    raise ValueError(f"{name} is {value!r}: a token count is a whole number, zero or more")
        if any(map(gt, _PARTS(self), _TOTALS(self))):
            for part, total in _PART_OF.items():
                if getattr(self, part) > getattr(self, total):
                    raise ValueError(f"{part} {getattr(self, part)} exceeds {total} {getattr(self, total)}")


class Guess(NamedTuple):
    """A usage that is thought of and not counted: our own numbers, which nobody need check, and all of them text.

    Fields are as in Usage, and reads and writes together are never more than the input.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    units: tuple[tuple[str, int], ...] = ()


_COUNTED = tuple(f.name for f in fields(Usage) if f.name != "units")
_PART_OF = {
    "cache_write_1h_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_tokens",
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "audio_cache_read_tokens": "audio_input_tokens",
    "image_cache_read_tokens": "image_input_tokens",
}
_COUNTS, _PARTS, _TOTALS = attrgetter(*_COUNTED), attrgetter(*_PART_OF), attrgetter(*_PART_OF.values())
"""Usages are made for every call and every chunk that counts: all fields are read in one step."""
