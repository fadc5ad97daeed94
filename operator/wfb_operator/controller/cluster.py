"""What the controller asks of the API server beside its watches: lists, status and Events. It blocks: call it in a thread."""

from collections.abc import Mapping
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from wfb_operator.controller.events import COMPONENT

GROUP, VERSION = "aifinops.dev", "v1alpha1"
PLURALS = {"WorkflowBudget": "workflowbudgets", "ClusterWorkflowBudget": "clusterworkflowbudgets"}
SECONDS = 15.0
PAGE = 500


class ClusterError(Exception):
    """The API server did not do what it was asked; ``status`` is 0 where it did not answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class Cluster:
    """One API server, spoken to with this process's own rights."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        """``kubeconfig`` None takes the pod's service account; raises ClusterError where neither can be read."""
        settings = client.Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(kubeconfig, client_configuration=settings)
        except config.ConfigException as error:
            raise ClusterError(f"no way to an API server: {error}") from error
        settings.retries = False
        settings.connection_pool_maxsize = 16
        self._api = client.ApiClient(settings)

    def budgets(self) -> list[Mapping[str, Any]]:
        """All budgets of both kinds."""
        found: list[Mapping[str, Any]] = []
        for kind, plural in PLURALS.items():
            for item in self._list(f"/apis/{GROUP}/{VERSION}/{plural}"):
                found.append({"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, **item})  # noqa: PERF401 — reads better
        return found

    def pods(self) -> list[Mapping[str, Any]]:
        """All pods."""
        return self._list("/api/v1/pods")

    def namespaces(self) -> list[Mapping[str, Any]]:
        """All namespaces."""
        return self._list("/api/v1/namespaces")

    def apply_status(self, document: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Write a budget's status by server-side apply, as the manager of exactly its fields."""
        metadata = document["metadata"]
        within = f"namespaces/{metadata['namespace']}/" if metadata.get("namespace") else ""
        name = {k: metadata[k] for k in ("name", "namespace", "uid") if metadata.get(k)}
        body = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": name, "status": status}
        self._call(
            "PATCH",
            f"/apis/{GROUP}/{VERSION}/{within}{PLURALS[document['kind']]}/{metadata['name']}/status",
            body,
            query=[("fieldManager", COMPONENT), ("force", "true")],
            content_type="application/apply-patch+yaml",
        )

    def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an Event; one that is there already is left as it is."""
        try:
            self._call("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
        except ClusterError as error:
            if error.status != 409:
                raise

    def _list(self, path: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        query = [("limit", str(PAGE))]
        while True:
            page = self._call("GET", path, query=query)
            found += page.get("items") or ()
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return found
            query = [("limit", str(PAGE)), ("continue", following)]

    def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = "application/json",
    ) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = self._api.call_api(
                path,
                method,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                response_types_map={200: "object", 201: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            )
        except ApiException as error:
            raise ClusterError(f"{method} {path}: {error.status} {_said(error)}", error.status or 0) from error
        except (HTTPError, OSError) as error:
            raise ClusterError(f"{method} {path}: {type(error).__name__}") from error
        return answer


def _said(error: ApiException) -> str:
    """The API server's own sentence, cut short."""
    body = error.body
    return str(body.decode(errors="replace") if isinstance(body, bytes) else body or error.reason)[:500]
