"""Sending one signed message: what is connected to is what was looked at, and what came of it is one sentence."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from wfb_operator.notify.egress import Egress, EgressRefusedError, shown

SECONDS = 10.0
"""For a whole attempt: a receiver that has to think longer does so after its answer."""
LONGEST_WAIT = 3600.0
"""The most that a receiver's Retry-After is heard for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt."""

    delivered: bool
    problem: str = ""
    final: bool = False
    """There is no use in trying again."""
    after: float = 0.0
    """Seconds that the receiver asks us to wait."""


async def post(url: str, headers: Mapping[str, str], body: bytes, egress: Egress, seconds: float = SECONDS) -> Outcome:
    """One attempt; never raises."""
    try:
        egress.check(url)
        connector = aiohttp.TCPConnector(resolver=_Checked(url, egress), use_dns_cache=False, force_close=True)
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=seconds), trust_env=False
            ) as session,
            session.post(url, data=body, headers=dict(headers), allow_redirects=False) as answer,
        ):
            return _judged(url, answer.status, answer.headers.get("retry-after", ""))
    except EgressRefusedError as error:
        return Outcome(delivered=False, problem=str(error))
    except TimeoutError:
        return Outcome(delivered=False, problem=f"{shown(url)} did not answer within {seconds:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = error.os_error.strerror if isinstance(error, aiohttp.ClientConnectorError) else None
        return Outcome(delivered=False, problem=f"{shown(url)} cannot be reached: {reason or type(error).__name__}")


def _judged(url: str, status: int, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome(delivered=True)
    if 300 <= status < 400:
        return Outcome(delivered=False, problem=f"{shown(url)} answered {status}: redirects are not followed")
    if status == 410:  # Standard Webhooks: the receiver is gone for good
        return Outcome(delivered=False, problem=f"{shown(url)} answered 410: it wants no more notices", final=True)
    wait = float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9 else 0.0
    return Outcome(delivered=False, problem=f"{shown(url)} answered {status}", after=min(wait, LONGEST_WAIT))


class _Checked(AbstractResolver):
    """Resolves a name and lets the connection have its addresses only where all of them may be called."""

    def __init__(self, url: str, egress: Egress) -> None:
        self._url, self._egress, self._inner = url, egress, ThreadedResolver(asyncio.get_running_loop())

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses; raises EgressRefusedError."""
        found = await self._inner.resolve(host, port, family)
        for one in found:
            self._egress.check_address(self._url, one["host"].partition("%")[0])
        return found

    async def close(self) -> None:
        """Nothing is kept open."""
        await self._inner.close()
