"""What the controller asks of the API server beside its watches: lists, status and Events. It blocks: call it in a thread."""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
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
    """The API server did not do what it was asked; ``status`` is 0 where it did not answer, ``said`` its own sentence."""

    def __init__(self, message: str, status: int = 0, said: str = "") -> None:
        self.status, self.said = status, said
        super().__init__(message)

    @property
    def away(self) -> bool:
        """Whether it did not answer, or answered that it cannot answer now."""
        return self.status == 0 or self.status >= 500


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
        self._apply(f"/apis/{GROUP}/{VERSION}/{within}{PLURALS[document['kind']]}/{metadata['name']}/status", body)

    def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an Event; one that is there already is left as it is."""
        try:
            self._call("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
        except ClusterError as error:
            if error.status != 409:
                raise

    def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """A Secret's data, decoded; None where there is none."""
        found = self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if not found:
            return None
        data = found.get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    def put_secret(self, namespace: str, name: str, data: Mapping[str, bytes]) -> None:
        """Make a Secret hold exactly this data of ours; it is created where it is missing."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": COMPONENT}},
            "type": "Opaque",
            "data": encoded,
        }
        self._apply(f"/api/v1/namespaces/{namespace}/secrets/{name}", body)

    def put_webhook_roots(self, name: str, bundle: bytes) -> bool:
        """Tell the API server which roots a webhook's certificate may have; False where it knows, or there is none."""
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"
        found = self._get(path)
        configs = {f"/webhooks/{n}/clientConfig": h["clientConfig"] for n, h in enumerate(found.get("webhooks") or ())}
        return self._put_roots(path, configs, bundle)

    def put_api_roots(self, name: str, bundle: bytes) -> bool:
        """Tell the API server which roots an aggregated API's certificate may have; False as ``put_webhook_roots``."""
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/{name}"
        found = self._get(path)
        return self._put_roots(path, {"/spec": found["spec"]} if found else {}, bundle)

    def _put_roots(self, path: str, configs: Mapping[str, Mapping[str, Any]], bundle: bytes) -> bool:
        encoded = base64.b64encode(bundle).decode()
        patch = [
            {"op": "add", "path": f"{place}/caBundle", "value": encoded}
            for place, config in configs.items()
            if config.get("caBundle") != encoded
        ]
        if patch:
            self._call("PATCH", path, patch, content_type="application/json-patch+json")
        return bool(patch)

    def _get(self, path: str) -> Mapping[str, Any]:
        """An object; empty where there is none."""
        try:
            return self._call("GET", path)
        except ClusterError as error:
            if error.status == 404:
                return {}
            raise

    def _apply(self, path: str, body: object) -> None:
        query = [("fieldManager", COMPONENT), ("force", "true")]
        self._call("PATCH", path, body, query=query, content_type="application/apply-patch+yaml")

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
            said = _said(error)
            raise ClusterError(f"{method} {path}: {error.status} {said}", error.status or 0, said) from error
        except (HTTPError, OSError) as error:
            raise ClusterError(f"{method} {path}: {type(error).__name__}") from error
        return answer


def _said(error: ApiException) -> str:
    """The API server's own sentence, cut short."""
    body = error.body
    text = str(body.decode(errors="replace") if isinstance(body, bytes) else body or error.reason)
    with suppress(ValueError, KeyError, TypeError):  # what stands before it need not speak like an API server
        text = str(json.loads(text)["message"])
    return text[:500]
