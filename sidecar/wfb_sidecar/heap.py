"""Gives memory back to the kernel once large bodies have gone: the C library would keep their pages for the next ones."""

import asyncio
import ctypes
import gc

_ENOUGH = 16 * 1024 * 1024
"""Bytes of large bodies after which it is worth the milliseconds that it takes."""
_PAUSE = 1.0
"""Seconds until what still refers to them is gone too."""


class Heap:
    """Counts the large bodies that have gone."""

    def __init__(self) -> None:
        self._gone = 0
        self._due: asyncio.TimerHandle | None = None
        # glibc's own; musl has none, and keeps less.
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def gone(self, size: int) -> None:
        """A body of so many bytes has been sent or refused."""
        self._gone += size
        if self._gone >= _ENOUGH and self._due is None and self._trim is not None:
            self._due = asyncio.get_running_loop().call_later(_PAUSE, self._give_back)

    def _give_back(self) -> None:
        self._gone, self._due = 0, None
        gc.collect()
        if self._trim is not None:
            self._trim(0)
