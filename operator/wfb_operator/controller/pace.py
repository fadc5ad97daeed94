"""Which status is written when: at most every two seconds a budget, and not more in all than the API server should bear."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wfb_operator.controller.status import meaningful

BUDGET_SECONDS = 2.0
"""Between two writes of one budget's status."""

WRITES_PER_SECOND = 50.0
"""Over all budgets; the API server's priority and fairness gives a controller about as much."""

BURST = 100.0


@dataclass(slots=True)
class _Written:
    """The last status of one budget that was written, and when."""

    status: Mapping[str, Any]
    at: float


@dataclass(slots=True)
class Pace:
    """Chooses among statuses; times are monotonic seconds."""

    written: dict[str, _Written] = field(default_factory=dict)
    _tokens: float = BURST
    _at: float = 0.0

    def due(self, statuses: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
        """The keys to write now: those that changed, a moved stage or condition first, then the longest waiting."""
        self._tokens = min(BURST, self._tokens + (now - self._at) * WRITES_PER_SECOND)
        self._at = now
        changed = []
        for key, status in statuses.items():
            last = self.written.get(key)
            if last is None:
                changed.append((0, -1.0, key))
            elif meaningful(last.status) != meaningful(status) and now - last.at >= BUDGET_SECONDS:
                changed.append((0 if _turned(last.status, status) else 1, last.at, key))
        chosen = [key for *_, key in sorted(changed)[: int(self._tokens)]]
        self._tokens -= len(chosen)
        return chosen

    def wrote(self, key: str, status: Mapping[str, Any], now: float) -> None:
        """A write succeeded."""
        self.written[key] = _Written(status, now)

    def spare(self) -> None:
        """One of those chosen was not tried after all: another may be."""
        self._tokens += 1

    def forget(self, keys: set[str]) -> None:
        """Only these budgets exist."""
        for key in self.written.keys() - keys:
            del self.written[key]


def _turned(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return before.get("stage") != now.get("stage") or _statuses(before) != _statuses(now)


def _statuses(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(c["type"], c["status"]) for c in status.get("conditions", ())]
