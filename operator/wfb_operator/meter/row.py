"""What is known of one exchange: a line of `wfb meter --json`."""

from dataclasses import dataclass, fields
from typing import Any

from wfb_core.money import format_usd


@dataclass(frozen=True, slots=True)
class Row:
    """One exchange, metered; counts that are not known are None."""

    id: Any
    provider: str | None
    dialect: str | None
    model: str | None
    """The model requested, as the caller wrote it."""
    served_model: str | None
    """The model that the answer names."""
    stream: bool
    billable: bool
    input_tokens: int | None
    """All input, the cached part included."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    """All output, hidden reasoning included."""
    reasoning_tokens: int | None
    nanos: int | None
    """Nano-USD; None where the cost is not known."""
    reason: str
    host: str = ""
    at: float | None = None

    @property
    def priced(self) -> bool:
        """Whether its cost is known."""
        return self.nanos is not None

    def document(self) -> dict[str, Any]:
        """The line's JSON object."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"nanos", "reason", "host", "at"}}
        usd = None if self.nanos is None else format_usd(self.nanos)
        return {**shown, "usd": usd, "priced": self.priced, "reason": self.reason}
