"""Events on the owners of pods: what was not injected, refused, or injected with a warning, and the way out."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from wfb_core.attribution import controller_of
from wfb_operator.injector.reasons import DENIED, SKIPPED, Report

log = logging.getLogger(__name__)

COMPONENT = "wfb-injector"
SECONDS = 5.0
WAITING_MOST = 100
QUIET = ("NotAsked", "OptedOut")
"""Reasons that are nobody's mistake."""


def events_for(pod: Mapping[str, Any], namespace: str, report: Report, now: float) -> list[dict[str, Any]]:
    """The Events that a report is worth, on the pod's owner; none where there is no owner or nothing to tell.

    Their names follow from what they say: a Deployment that makes a hundred pods gets one of each, until it expires.
    """
    owner = controller_of(pod)
    if owner is None or report.reason in QUIET:
        return []
    told = [(f"Sidecar{warned.name}", warned.message) for warned in report.warnings]
    if report.outcome in (SKIPPED, DENIED):
        told.append((f"Sidecar{report.outcome.title()}", report.sentence))
    return [_event(pod, owner.uid, namespace, reason, message, now) for reason, message in told]


def _event(pod: Mapping[str, Any], uid: str, namespace: str, reason: str, message: str, now: float) -> dict[str, Any]:
    reference = next(r for r in pod["metadata"]["ownerReferences"] if r["uid"] == uid)
    moment = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = hashlib.sha256(f"{uid}|{reason}|{message}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{reference['name'][:200]}.{name}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": reference["apiVersion"],
            "kind": reference["kind"],
            "name": reference["name"],
            "namespace": namespace,
            "uid": uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message[:1000],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


class EventWriter:
    """Writes Events behind the answer's back: admission never waits for them."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, events: list[dict[str, Any]]) -> None:
        """Writes them soon; in a storm some are left out."""
        for event in events:
            if len(self._tasks) < WAITING_MOST:
                task = asyncio.get_running_loop().create_task(asyncio.to_thread(self._write, event))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Waits for those under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _write(self, event: dict[str, Any]) -> None:
        try:
            self._api.call_api(
                f"/api/v1/namespaces/{event['metadata']['namespace']}/events",
                "POST",
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=event,
                response_types_map={201: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            )
        except ApiException as error:
            if error.status != 409:  # told already
                log.warning("an Event is not written: %s %s", error.status, error.reason)
        except (HTTPError, OSError) as error:
            log.warning("an Event is not written: %s", type(error).__name__)
