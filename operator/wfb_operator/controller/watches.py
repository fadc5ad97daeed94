"""Kopf's watches: every event of a budget, pod or namespace goes into the world, and nothing is decided here."""

from collections.abc import Mapping
from typing import Any

import kopf

from wfb_operator.controller.cluster import GROUP, PLURALS, VERSION
from wfb_operator.controller.world import World

KINDS = {plural: kind for kind, plural in PLURALS.items()}


def registry(world: World, *, in_cluster: bool) -> kopf.OperatorRegistry:
    """Handlers that keep a world true; ``on.event`` alone, so that no object gets a finalizer or an annotation.

    ``in_cluster`` logs in with the pod's service account, else with the kubeconfig that ``KUBECONFIG`` names.
    """
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(logger: kopf.Logger, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        """Who the watches are: the same as everything else of this process."""
        if in_cluster:
            return kopf.login_with_service_account(logger=logger, settings=settings)
        return kopf.login_with_kubeconfig(logger=logger, settings=settings)

    @kopf.on.startup(registry=found)
    def configure(settings: kopf.OperatorSettings, **_: object) -> None:
        """Nothing is posted, nothing waits for minutes, nothing is stored on objects."""
        settings.posting.enabled = False
        settings.networking.request_timeout = 15
        # An API server that is away, or forbids, is asked again for ten minutes; then the process begins anew.
        settings.networking.error_backoffs = (1, 1, 2, 3, *[5] * 120)
        settings.watching.server_timeout = 120
        settings.watching.client_timeout = 150
        settings.persistence.finalizer = "aifinops.dev/unused"
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="controller.aifinops.dev")
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="controller.aifinops.dev")

    for plural in KINDS:

        @kopf.on.event(GROUP, VERSION, plural, registry=found, id=plural)
        async def budget(event: Mapping[str, Any], **_: object) -> None:
            """A budget appeared, changed or went."""
            document = dict(event["object"])
            if event["type"] == "DELETED":
                world.drop("budgets", document)
            else:
                world.put_budget(document)

    @kopf.on.event("", "v1", "pods", registry=found, id="pods")
    async def pod(event: Mapping[str, Any], **_: object) -> None:
        """A pod appeared, changed or went."""
        if event["type"] == "DELETED":
            world.drop("pods", event["object"])
        else:
            world.put_pod(event["object"])

    @kopf.on.event("", "v1", "namespaces", registry=found, id="namespaces")
    async def namespace(event: Mapping[str, Any], **_: object) -> None:
        """A namespace appeared, changed or went."""
        if event["type"] == "DELETED":
            world.drop("namespaces", event["object"])
        else:
            world.put_namespace(event["object"])

    return found
