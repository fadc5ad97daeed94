"""The controller's way to the ledger: budgets and prices go there, what was counted comes back."""

import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Self

import aiohttp

SECONDS = 10.0


class LedgerAwayError(Exception):
    """The ledger cannot be reached, or cannot answer now."""


class LedgerRefusedError(Exception):
    """The ledger did not take what it was sent; ``errors`` are its mistakes with their paths."""

    def __init__(self, message: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        self.errors = errors
        super().__init__(message)


class LedgerClient:
    """One ledger over HTTP; use it as an async context manager."""

    def __init__(self, url: str, token_file: str, ca_file: str | None = None) -> None:
        """``ca_file`` None trusts the system's roots until `trust` is called; raises OSError for one that cannot be read."""
        self._url, self._token_file = url.rstrip("/"), token_file
        self._ssl: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._session: aiohttp.ClientSession | None = None

    def trust(self, roots: bytes) -> None:
        """Trust these roots (PEM) and no others from now on; raises ssl.SSLError where they are none."""
        self._ssl = ssl.create_default_context(cadata=roots.decode("ascii"))

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS), trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def budgets_in_force(self) -> list[dict[str, Any]]:
        """The documents of the budgets that the ledger holds calls to."""
        return list((await self._call("GET", "/v1/budgets"))["budgets"])

    async def put_budgets(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Put exactly these budgets in force."""
        await self._call("PUT", "/v1/budgets", json.dumps({"budgets": list(documents)}).encode())

    async def put_prices(self, snapshot: bytes) -> str:
        """Put a price snapshot in force; returns its SHA-256."""
        return str((await self._call("PUT", "/v1/prices", snapshot))["prices"])

    async def summary(self, since: float) -> dict[str, Any]:
        """Every window now, and usage since a moment in Unix seconds."""
        return await self._call("GET", f"/v1/summary?since={int(since)}")

    async def stages(self, most: int = 1000) -> list[dict[str, Any]]:
        """The newest stage changes, the newest first."""
        return list((await self._call("GET", f"/v1/stages?limit={most}"))["stages"])

    async def notices(self, most: int = 1000) -> list[dict[str, Any]]:
        """Notices that are still to be sent, the oldest first."""
        return list((await self._call("GET", f"/v1/notices?limit={most}"))["notices"])

    async def mark_notice(self, window: str, at_percent: int, delivered: list[str], done: bool) -> None:
        """Say who has taken a notice, and whether nothing more is to be sent."""
        mark = {"window": window, "at_percent": at_percent, "delivered": delivered, "done": done}
        await self._call("POST", "/v1/notices", json.dumps(mark).encode())

    async def loops(self, most: int = 1000) -> list[dict[str, Any]]:
        """The newest sightings of loops, the newest first."""
        return list((await self._call("GET", f"/v1/loops?limit={most}"))["loops"])

    async def anomalies(self) -> list[dict[str, Any]]:
        """Workflows as the ledger's last look judged their spend."""
        return list((await self._call("GET", "/v1/anomalies"))["anomalies"])

    async def decisions(self, reason: str, most: int = 1000) -> list[dict[str, Any]]:
        """The newest decisions for a reason, the newest first."""
        return list((await self._call("GET", f"/v1/decisions?reason={reason}&limit={most}"))["decisions"])

    async def usage(self, by: Sequence[str], since: float) -> list[dict[str, Any]]:
        """Usage since a moment, summed by dimensions."""
        return list((await self._call("GET", f"/v1/usage?by={','.join(by)}&since={int(since)}"))["usage"])

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        assert self._session is not None
        try:
            headers = {"authorization": f"Bearer {self._token()}"}
            async with self._session.request(
                method, self._url + path, data=body, headers=headers, ssl=self._ssl
            ) as answer:
                text, status = await answer.read(), answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerAwayError(f"{method} {path.partition('?')[0]}: {type(error).__name__} {error}") from error
        try:
            found = json.loads(text)
        except ValueError as error:
            raise LedgerAwayError(f"{method} {path.partition('?')[0]}: the answer is not JSON") from error
        if status == 200 and isinstance(found, dict):
            return found
        if status == 422:
            raise LedgerRefusedError(str(found.get("error", "the documents have mistakes")), found.get("errors", ()))
        raise LedgerAwayError(f"{method} {path.partition('?')[0]}: {status} {found.get('error', '')}")

    def _token(self) -> str:
        with open(self._token_file, encoding="ascii") as file:  # the kubelet rotates it
            return file.read().strip()
