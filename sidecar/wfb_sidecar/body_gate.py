"""Room for request bodies that must be read whole: past the limit the next one waits its turn."""

import asyncio
from collections import deque

CAPACITY = 128 * 1024 * 1024
LARGEST = 64 * 1024 * 1024
UNKNOWN = 16 * 1024 * 1024
"""Counted for a body without a length until it has arrived."""
FREE = 64 * 1024
"""Bodies up to this size pass uncounted: an ordinary call never waits for a neighbour's upload."""


class BodyGate:
    """Counts bytes in flight; first come, first served."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.in_flight = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> int:
        """Waits until `size` bytes fit, and returns what `leave` must be given; a size above all is cut to it."""
        if size <= FREE:
            return 0
        size = min(size, self.capacity)
        if not self._waiting and self.in_flight + size <= self.capacity:
            self.in_flight += size
            return size
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            else:
                self._waiting.remove(entry)
                self.leave(0)  # whoever stood behind it may fit
            raise
        return size

    def leave(self, size: int) -> None:
        """Gives bytes back and lets in who fits next."""
        self.in_flight -= size
        while self._waiting and self.in_flight + self._waiting[0][0] <= self.capacity:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += size
                turn.set_result(None)

    @property
    def waiting(self) -> int:
        """How many bodies wait."""
        return len(self._waiting)
