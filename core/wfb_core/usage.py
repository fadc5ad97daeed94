"""What a call used: totals with their classes, whatever shape the provider's own numbers have."""

from dataclasses import dataclass


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
    """Input written to a prompt cache, whatever its time to live."""
    cache_write_1h_tokens: int = 0
    """The part of cache_write_tokens that was written for an hour."""
    output_tokens: int = 0
    """All output, hidden reasoning included."""
    reasoning_tokens: int = 0
    """Output that the caller does not see."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{name} is {value!r}: a token count is a whole number, zero or more")
        for part, total in (
            ("cache_write_1h_tokens", "cache_write_tokens"),
            ("reasoning_tokens", "output_tokens"),
        ):
            if getattr(self, part) > getattr(self, total):
                raise ValueError(f"{part} {getattr(self, part)} exceeds {total} {getattr(self, total)}")
        if self.cache_read_tokens + self.cache_write_tokens > self.input_tokens:
            raise ValueError(
                f"cache_read_tokens {self.cache_read_tokens} and cache_write_tokens {self.cache_write_tokens}"
                f" exceed input_tokens {self.input_tokens}"
            )
