"""Keeps certificates: looks at the Secrets now and then, writes what the plan says, and tells who has to trust what."""

import asyncio
import datetime
import logging
from collections.abc import Callable, Mapping

from wfb_operator.certificates.plan import ROOT_SECRET, Data, Plan, Wanted, plan
from wfb_operator.controller.cluster import Cluster, ClusterError

log = logging.getLogger(__name__)

LOOK_SECONDS = 600.0
AGAIN_SECONDS = 5.0
WEBHOOK = "wfb-injector"
API = "v1alpha1.spend.aifinops.dev"


class CertificateKeeper:
    """The certificates of one installation's ledger and injector."""

    def __init__(self, cluster: Cluster, namespace: str, now: Callable[[], datetime.datetime]) -> None:
        self._cluster, self._namespace, self._now = cluster, namespace, now
        self._wanted = tuple(
            # localhost is where a port-forward reaches them.
            Wanted(f"{name}-tls", (f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local", "localhost"))
            for name in ("wfb-ledger", "wfb-injector")
        )

    async def run(self) -> None:
        """Looks, until cancelled; what fails is tried again soon."""
        while True:
            try:
                done = await asyncio.to_thread(self.once)
                for reason in done.reasons:
                    log.info("certificates: %s", reason)
                pause = LOOK_SECONDS
            except ClusterError as error:
                log.warning("certificates are looked at again: %s", error)
                pause = AGAIN_SECONDS
            await asyncio.sleep(pause)

    def once(self) -> Plan:
        """One look, blocking. The root is written before any leaf, and the webhook trusts it before its leaf changes."""
        names = (ROOT_SECRET, *(leaf.secret for leaf in self._wanted))
        held: Mapping[str, Data | None] = {name: self._cluster.secret(self._namespace, name) for name in names}
        done = plan(self._now(), held, self._wanted)
        if ROOT_SECRET in done.writes:
            self._cluster.put_secret(self._namespace, ROOT_SECRET, done.writes[ROOT_SECRET])
        self._cluster.put_webhook_roots(WEBHOOK, done.bundle)
        self._tell_the_aggregator(done.bundle)
        for name, data in done.writes.items():
            if name != ROOT_SECRET:
                self._cluster.put_secret(self._namespace, name, data)
        return done

    def _tell_the_aggregator(self, bundle: bytes) -> None:
        """Where people read through the API server it verifies the ledger too; a chart without that gives no right to."""
        try:
            self._cluster.put_api_roots(API, bundle)
        except ClusterError as error:
            if error.status != 403:
                raise
