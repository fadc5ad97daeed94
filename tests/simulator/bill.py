"""What the provider charges: one line for every billed call."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator.usage import Usage


@dataclass(frozen=True, slots=True)
class Line:
    """One billed call."""

    id: str
    at: float
    """Seconds since the epoch, when it was billed."""
    provider: str
    model: str
    """As the request named it."""
    served_model: str
    stream: bool
    usage: Usage
    usd: Decimal
    cut: bool
    """The answer never reached its end at the client: the client left, or the provider cut it."""
    usage_withheld: bool
    """The provider never told the true usage: a fault withheld, broke or hid it."""
    label: str
    fault: str
    units: Mapping[str, int]
    """What was billed beside tokens."""

    def as_json(self) -> dict[str, Any]:
        """The line as the bill's endpoint gives it; money as an exact decimal string."""
        return {
            "id": self.id,
            "at": round(self.at, 6),
            "provider": self.provider,
            "model": self.model,
            "served_model": self.served_model,
            "stream": self.stream,
            **self.usage._asdict(),
            "usd": decimal_text(self.usd),
            "cut": self.cut,
            "usage_withheld": self.usage_withheld,
            "label": self.label,
            "fault": self.fault,
            **({"units": dict(self.units)} if self.units else {}),
        }


def decimal_text(amount: Decimal) -> str:
    """The shortest exact decimal string: no exponent, no zeros at the end."""
    whole = f"{amount:f}"
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


class Bill:
    """The lines since the last reset, and how many calls are still being answered."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = asyncio.Event()

    @property
    def open(self) -> int:
        """Calls begun and neither billed nor refused."""
        return self._open

    def begin(self) -> None:
        """A call arrived."""
        self._open += 1
        self._idle.clear()
        self._busy.set()

    def end(self) -> None:
        """A call was billed or refused."""
        self._open -= 1
        if not self._open:
            self._idle.set()
            self._busy.clear()

    async def busy(self) -> None:
        """Waits until a call is being answered."""
        await self._busy.wait()

    async def idle(self) -> None:
        """Waits until no call is being answered, so that the bill is complete."""
        await self._idle.wait()

    def labelled(self, label: str | None) -> Iterator[Line]:
        """The lines of one label, or all."""
        return (line for line in self.lines if label is None or line.label == label)

    def summary(self) -> dict[str, Any]:
        """Calls, their price, how many had their usage withheld or were cut, and the same by served model."""
        by_model: dict[str, tuple[int, Decimal]] = {}
        for line in self.lines:
            calls, usd = by_model.get(line.served_model, (0, Decimal(0)))
            by_model[line.served_model] = (calls + 1, usd + line.usd)
        return {
            "calls": len(self.lines),
            "usd": decimal_text(sum((line.usd for line in self.lines), Decimal(0))),
            "withheld": sum(line.usage_withheld for line in self.lines),
            "cut": sum(line.cut for line in self.lines),
            "open": self.open,
            "by_model": {name: {"calls": c, "usd": decimal_text(usd)} for name, (c, usd) in sorted(by_model.items())},
        }

    def as_lines(self, label: str | None = None) -> bytes:
        """JSON lines."""
        return "".join(json.dumps(line.as_json()) + "\n" for line in self.labelled(label)).encode()
