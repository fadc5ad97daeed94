"""Whose a service account's token is: asked of the API server once, and remembered while the token lives.

A token that was good stays good for REVIEWED_SECONDS without a question, and for as long as it says itself where the
API server cannot be asked: an outage of the API server stops nobody who was there before it.
"""

import asyncio
import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from wfb_core.attribution import attribute
from wfb_operator.ledger.cluster import Cluster, ClusterAwayError, Reviewed
from wfb_operator.ledger.identities import CONTROLLER, READER, SIDECAR, Identity, token_sha256

AUDIENCE = "wfb.aifinops.dev"
"""Whom the projected tokens of sidecars and controller are for; a token for anybody else is nobody's here."""

REVIEWED_SECONDS = 600.0
"""How long an answer is believed before it is asked again."""

REFUSED_SECONDS = 10.0
"""How long a token that counts for nobody is remembered, so that a retrying pod does not flood the API server."""

TOKENS_MOST = 20_000
_USER = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The service accounts, as ``namespace:name``, that are more than a sidecar."""

    controllers: frozenset[str] = frozenset()
    readers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is remembered of one token."""

    identity: Identity | None
    asked: float
    """Monotonic seconds."""
    expires: float
    """Unix seconds, by the token itself; it was verified when it was asked about."""


class TokenReviews:
    """Identities of service accounts by their tokens."""

    def __init__(
        self, api: Cluster, accounts: Accounts, *, wall: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._api, self._accounts = api, accounts
        self._wall, self._monotonic = wall, monotonic
        self._known: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Identity | None]] = {}

    async def identity(self, token: str) -> Identity | None:
        """Whose a token is, None where it is nobody's; raises ClusterAwayError where it has to be asked and cannot be."""
        sha256 = token_sha256(token)
        known = self._known.get(sha256)
        age = self._monotonic() - known.asked if known else 0.0
        if known and age < (REVIEWED_SECONDS if known.identity else REFUSED_SECONDS) and self._wall() < known.expires:
            return known.identity
        task = self._asking.get(sha256)
        if task is None:
            task = self._asking[sha256] = asyncio.ensure_future(self._ask(token, sha256))
            task.add_done_callback(lambda _: self._asking.pop(sha256, None))
        try:
            return await asyncio.shield(task)
        except ClusterAwayError:
            if known and known.identity and self._wall() < known.expires:
                return known.identity
            raise

    async def _ask(self, token: str, sha256: str) -> Identity | None:
        identity = await asyncio.to_thread(self._look_up, token, sha256)
        self._known[sha256] = _Answer(identity, self._monotonic(), expires_at(token))
        self._known.move_to_end(sha256)
        while len(self._known) > TOKENS_MOST:
            self._known.popitem(last=False)
        return identity

    def _look_up(self, token: str, sha256: str) -> Identity | None:
        reviewed = self._api.review(token, AUDIENCE)
        if reviewed is None or not reviewed.username.startswith(_USER):
            return None
        account = reviewed.username.removeprefix(_USER)
        if account in self._accounts.controllers:
            return Identity(sha256, CONTROLLER)
        if account in self._accounts.readers:
            return Identity(sha256, READER)
        return self._pod(account.partition(":")[0], reviewed, sha256)

    def _pod(self, namespace: str, reviewed: Reviewed, sha256: str) -> Identity | None:
        """The pod that a token is bound to; a token of no pod, or of one that was replaced since, is nobody's."""
        if not reviewed.pod_uid:
            return None
        pod = self._api.pod(namespace, reviewed.pod_name)
        if pod is None or pod["metadata"]["uid"] != reviewed.pod_uid:
            return None
        above = self._api.namespace(namespace) or {}
        found = attribute(pod, above, self._api.owners(pod))
        labels = above.get("metadata", {}).get("labels") or {}
        return Identity(sha256, SIDECAR, f"{reviewed.pod_uid}/", found.labels, found.run, namespace, labels)


def expires_at(token: str) -> float:
    """When a service account's token ends by its own ``exp``, Unix seconds; 0 for one that does not say.

    Only for tokens that the API server has verified: nothing is checked here.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return 0.0
