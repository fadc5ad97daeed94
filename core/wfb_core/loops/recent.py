"""The last calls of one pod, and what they show: each weighs as much as it cost."""

from collections import deque
from dataclasses import dataclass
from itertools import islice

from wfb_core.loops.sketch import Sketch

KEPT = 39
"""Calls that are looked at beside the one asked for."""
COMPARED = 16
"""Calls before it that a request is compared with: a loop may have this many stations."""
ENOUGH = 6
"""Calls that cost something, below which they show nothing."""
GROWN = 2.0
"""The input's growth over the calls looked at from which on a context counts as growing."""
SNOWBALL = 4.0
"""The growth that shows something by itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the guard sees it: none of its content."""

    sketch: Sketch | None
    retry: int
    """Attempts before this one, as its headers tell."""
    input_bytes: int
    expected: int
    """Nano-USD that it will probably cost."""


@dataclass(slots=True, eq=False)
class Seen:
    """One call that was let through."""

    at: float
    asked: Asked
    alike: bool
    """Whether a call shortly before it was nearly the same."""
    cost: int
    """Nano-USD: what is expected, then what it was."""
    settled: bool = False
    failed: bool = False
    unit: str = ""
    probes: tuple[str, ...] = ()
    """Keys of the budgets that let it through only to try."""

    @property
    def bad(self) -> bool:
        """Whether it shows a run that does not move on."""
        return suspicious(self.asked, alike=self.alike)


def suspicious(asked: Asked, *, alike: bool) -> bool:
    """Whether a request by itself looks like one more turn of a loop."""
    return alike or asked.retry > 0 or (asked.sketch is not None and asked.sketch.tool_failed)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the last calls show: parts of their cost from 0 to 1, and counts for people."""

    calls: int = 0
    alike_calls: int = 0
    alike: float = 0.0
    failed_tools: float = 0.0
    retried: float = 0.0
    growth: float = 1.0
    """The last input over the smallest one, in bytes."""
    rate: float = 0.0
    """Nano-USD a minute."""


class Recent:
    """The last calls."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=KEPT)

    def knows(self, sketch: Sketch | None) -> bool:
        """Whether one of the calls just before was nearly the same."""
        if sketch is None:
            return False
        for seen in islice(reversed(self._seen), COMPARED):
            if seen.asked.sketch is not None and sketch.alike(seen.asked.sketch):
                return True
        return False

    def add(self, seen: Seen) -> None:
        """One more call."""
        self._seen.append(seen)

    def forget(self) -> None:
        """The calls showed a loop that is over: they are known again by their sketches, and weigh nothing."""
        for seen in self._seen:
            seen.cost = 0

    def evidence(self, now: float, asked: Asked, *, alike: bool) -> Evidence:
        """What the calls show, with one that is asked for now."""
        calls = alike_calls = total = same = tools = again = 0
        smallest, first = asked.input_bytes, now
        for seen in self._seen:
            cost = seen.cost
            if cost <= 0:
                continue
            if not calls:
                first = seen.at
            calls += 1
            total += cost
            smallest = min(smallest, seen.asked.input_bytes)
            if seen.alike:
                alike_calls += 1
                same += cost
            if seen.asked.sketch is not None and seen.asked.sketch.tool_failed:
                tools += cost
            if seen.asked.retry:
                again += cost
        calls, alike_calls = calls + 1, alike_calls + alike
        if calls < ENOUGH:
            return Evidence(calls, alike_calls)
        expected = max(asked.expected, 1)
        whole = total + expected
        failing = asked.sketch is not None and asked.sketch.tool_failed
        return Evidence(
            calls=calls,
            alike_calls=alike_calls,
            alike=(same + expected * alike) / whole,
            failed_tools=(tools + expected * failing) / whole,
            retried=(again + expected * (asked.retry > 0)) / whole,
            growth=asked.input_bytes / max(smallest, 1),
            rate=total / max(1.0, (now - first) / 60.0),
        )
