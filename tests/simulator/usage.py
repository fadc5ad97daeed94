"""What a call used, in the bill's own words."""

from typing import NamedTuple


class Usage(NamedTuple):
    """Token totals of one call; every class is counted inside its total."""

    input: int
    """All input, cached and written parts included."""
    cache_read: int
    """Input read from a prompt cache."""
    cache_write: int
    """Input written to a prompt cache, for whatever time."""
    cache_write_1h: int
    """The part of cache_write that is kept for an hour."""
    output: int
    """All output, hidden reasoning included."""
    reasoning: int
    """Output that the caller never sees."""
