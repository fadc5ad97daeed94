"""Waiting for what must become true, instead of sleeping for a guess."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE = 0.01
DEADLINE = 10.0


def until[T](probe: Callable[[], T], what: str = "", deadline: float = DEADLINE) -> T:
    """The first true value that `probe` gives; raises AssertionError with the last one when the deadline has passed."""
    end = time.monotonic() + deadline
    while not (value := probe()):
        if time.monotonic() > end:
            raise AssertionError(f"{what or 'the condition'} did not come true in {deadline:g} s: last {value!r}")
        time.sleep(PAUSE)
    return value


async def until_async[T](probe: Callable[[], T | Awaitable[T]], what: str = "", deadline: float = DEADLINE) -> T:
    """As `until`, inside an event loop; `probe` may be a coroutine function."""
    end = time.monotonic() + deadline
    while True:
        value = probe()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value  # type: ignore[return-value]
        if time.monotonic() > end:
            raise AssertionError(f"{what or 'the condition'} did not come true in {deadline:g} s: last {value!r}")
        await asyncio.sleep(PAUSE)
