"""The way to the ledger: reports, the scope that applies here, prices. HTTP, JSON, a bearer token read anew from its file."""

import json
from collections.abc import Mapping
from typing import Any

from wfb_core.wire import Dispatch, Response, decode_response, encode_dispatch
from wfb_sidecar.http_client import HttpClient, HttpError


class LedgerLinkError(Exception):
    """The ledger did not answer as it should; the wallet's own rules decide what that means."""


class LedgerLink:
    """One connection pool to one ledger."""

    def __init__(self, url: str, token_file: str, ca: str | None = None) -> None:
        """Raises ValueError for a URL that is none, OSError for roots that cannot be read."""
        self._token_file = token_file
        try:
            # Its variables are not read: the ledger is never reached through the proxy that applications use.
            self._client = HttpClient(url, ca)
        except ValueError as e:
            raise ValueError(f"ledger_url: {e}") from e

    def close(self) -> None:
        """Closes the pool."""
        self._client.close()

    async def report(self, dispatch: Dispatch, timeout: float) -> Response:
        """Sends one report; raises LedgerLinkError."""
        _, body = await self._call("POST", "/v1/report", timeout, data=encode_dispatch(dispatch))
        try:
            return decode_response(body)
        except ValueError as e:
            raise LedgerLinkError(f"the ledger's answer to a report is malformed: {e}") from e

    async def scope(self, after: int, wait: float) -> Mapping[str, Any] | None:
        """The scope if its version differs from `after`, None after `wait` seconds without a change."""
        status, body = await self._call("GET", f"/v1/scope?after={after}&wait={wait:g}", wait + 5.0)
        return None if status == 204 else self._json(body)

    async def prices(self, version: str) -> bytes:
        """The price snapshot of a version."""
        return (await self._call("GET", f"/v1/prices/{version}", 10.0))[1]

    async def _call(self, method: str, path: str, timeout: float, data: bytes = b"") -> tuple[int, bytes]:
        try:
            headers = {"authorization": f"Bearer {self._token()}", "content-type": "application/json"}
            status, body = await self._client.request(method, path, headers, data, timeout)
        except (HttpError, TimeoutError, OSError, ValueError) as e:
            raise LedgerLinkError(f"{path.partition('?')[0]}: {type(e).__name__} {e}".strip()) from e
        if status not in {200, 204}:
            raise LedgerLinkError(f"{path.partition('?')[0]}: the ledger answered {status}: {body[:200]!r}")
        return status, body

    def _token(self) -> str:
        with open(self._token_file, encoding="ascii") as f:  # the kubelet rotates it
            return f.read().strip()

    def _json(self, body: bytes) -> Mapping[str, Any]:
        try:
            value = json.loads(body)
        except ValueError as e:
            raise LedgerLinkError(f"the ledger's answer is not JSON: {e}") from e
        if not isinstance(value, dict):
            raise LedgerLinkError("the ledger's answer is not an object")
        return value
