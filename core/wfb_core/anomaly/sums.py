"""What a workflow did in a stretch of time."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of usage rows; money in nano-USD."""

    nanos: int = 0
    calls: int = 0
    refused: int = 0
    failed: int = 0
    """Calls that ended in an error, were cut, or were left."""
    tokens: int = 0
    """Of input and output, cached ones included."""
    by_model: Mapping[str, int] = field(default_factory=dict)
    """Nano-USD by the model that served."""

    def __add__(self, other: "Sums") -> "Sums":
        models = dict(self.by_model)
        for name, nanos in other.by_model.items():
            models[name] = models.get(name, 0) + nanos
        return Sums(
            self.nanos + other.nanos,
            self.calls + other.calls,
            self.refused + other.refused,
            self.failed + other.failed,
            self.tokens + other.tokens,
            models,
        )

    @property
    def dearest(self) -> str:
        """The model that cost most; empty where none did."""
        return max(self.by_model, key=lambda name: self.by_model[name], default="")
