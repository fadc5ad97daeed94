"""Notices of the cluster's budgets: what the ledger has is sent, with Secrets that somebody let this controller read."""

import asyncio
import datetime
import logging
import time
from collections.abc import Mapping

from wfb_core.budget import Budget
from wfb_core.document import BudgetErrors, parse_budget
from wfb_operator.controller.cluster import Cluster, ClusterError
from wfb_operator.controller.events import trouble_event
from wfb_operator.controller.ledger_client import LedgerAwayError, LedgerClient, LedgerRefusedError
from wfb_operator.controller.metrics import Metrics
from wfb_operator.controller.world import World
from wfb_operator.notify.courier import Courier, SecretUnreadError, Trouble
from wfb_operator.notify.egress import Egress

log = logging.getLogger(__name__)

LOOP_SECONDS = 1.0


class Notices:
    """The loop beside the reconciler's, so that a slow receiver delays no status."""

    def __init__(
        self, world: World, cluster: Cluster, ledger: LedgerClient, metrics: Metrics, egress: Egress, home: str
    ) -> None:
        """``home`` is the operator's own namespace, in which a ClusterWorkflowBudget's Secrets are."""
        self._world, self._cluster, self._ledger, self._home = world, cluster, ledger, home
        self._courier = Courier(
            self._secret,
            ledger.mark_notice,
            self._tell,
            egress,
            time.time,
            lambda outcome: metrics.notices.labels(outcome).inc(),
        )

    async def run(self) -> None:
        """Rounds, until cancelled."""
        while True:
            try:
                await self.once()
            except (LedgerAwayError, LedgerRefusedError) as error:
                log.debug("notices wait: %s", error)
            except Exception:
                log.exception("notices wait, and are tried again")
            await asyncio.sleep(LOOP_SECONDS)

    async def once(self) -> None:
        """Everything that is due now."""
        notices = await self._ledger.notices()
        if notices:
            await self._courier.round(notices, self._budgets({notice["budget"] for notice in notices}))

    def _budgets(self, keys: set[str]) -> dict[str, Budget]:
        found = {}
        for key in keys & self._world.budgets.keys():
            try:
                found[key] = parse_budget(self._world.budgets[key])
            except BudgetErrors:
                continue  # its condition Ready says so
        return found

    async def _secret(self, budget: Budget, name: str) -> Mapping[str, bytes]:
        namespace = budget.namespace or self._home
        where = f"Secret {namespace}/{name}"
        try:
            found = await asyncio.to_thread(self._cluster.secret, namespace, name)
        except ClusterError as error:
            if error.status == 403:
                raise SecretUnreadError(
                    f"the controller may not read {where}: name it in the chart's value notify.secrets, or give"
                    " the service account wfb-controller a Role there that may get it"
                ) from error
            raise SecretUnreadError(f"{where} cannot be read now") from error
        if found is None:
            raise SecretUnreadError(f"there is no {where}")
        return found

    async def _tell(self, trouble: Trouble) -> None:
        document = self._world.budgets.get(trouble.budget)
        if document is None:
            return
        now = datetime.datetime.now(datetime.UTC).timestamp()
        try:
            event = trouble_event(document, trouble.reason, trouble.message, trouble.identity, now)
            await asyncio.to_thread(self._cluster.create_event, event)
        except ClusterError as error:
            log.warning("%s: %s (%s)", trouble.budget, trouble.message, error)
