"""Looking: everything that the checks need, read with the user's own rights; and one pod tried without being made."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from wfb_operator.doctor.checks import INJECT, SIDECAR
from wfb_operator.doctor.finding import OK, PROBLEM, Finding
from wfb_operator.doctor.seen import Seen

SECONDS = 15.0
WORKLOADS = {
    "Deployment": "/apis/apps/v1/{}deployments",
    "StatefulSet": "/apis/apps/v1/{}statefulsets",
    "DaemonSet": "/apis/apps/v1/{}daemonsets",
    "Job": "/apis/batch/v1/{}jobs",
    "CronJob": "/apis/batch/v1/{}cronjobs",
}
"""Paths by kind; the braces take ``namespaces/NAME/`` or nothing."""


class LookError(Exception):
    """There is no way to a cluster."""


class Look:
    """One cluster through the user's kubeconfig, or through the pod's account where the command runs in one."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        """Raises LookError."""
        settings = client.Configuration()
        try:
            try:
                config.load_kube_config(kubeconfig, context=context, client_configuration=settings)
            except config.ConfigException:
                if kubeconfig or context:
                    raise
                config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            raise LookError(f"no cluster to look at: {error}; give --kubeconfig FILE") from error
        settings.retries = False
        self._api = client.ApiClient(settings)

    def seen(self, namespace: str | None = None) -> Seen:
        """Everything, of one namespace or of all; raises LookError where the API server does not answer."""
        within, unread = f"namespaces/{namespace}/" if namespace else "", {}

        def ask(what: str, path: str) -> list[dict[str, Any]]:
            """A list, or none with the reason noted."""
            try:
                return list(self._get(path).get("items") or ())
            except ApiException as error:
                unread[what] = _why(error)
                return []

        workloads = []
        for kind, path in WORKLOADS.items():
            workloads += [{**item, "kind": kind} for item in ask("workloads", path.format(within))]
        namespaces = ask("namespaces", "/api/v1/namespaces")
        if namespace:
            namespaces = [n for n in namespaces if n["metadata"]["name"] == namespace]
        kinds = [f"{within}workflowbudgets"] + ([] if namespace else ["clusterworkflowbudgets"])
        return Seen(
            namespaces,
            ask("pods", f"/api/v1/{within}pods"),
            workloads,
            [b for kind in kinds for b in ask("budgets", f"/apis/aifinops.dev/v1alpha1/{kind}")],
            self._webhook(unread),
            unread,
        )

    def budgets(self, namespace: str) -> list[Mapping[str, Any]]:
        """The budgets of a namespace and of the cluster, those that may be read, with their kinds."""
        found: list[Mapping[str, Any]] = []
        kinds = {
            f"namespaces/{namespace}/workflowbudgets": "WorkflowBudget",
            "clusterworkflowbudgets": "ClusterWorkflowBudget",
        }
        for path, kind in kinds.items():
            with contextlib.suppress(ApiException):
                items = self._get(f"/apis/aifinops.dev/v1alpha1/{path}").get("items") or ()
                found += [{"apiVersion": "aifinops.dev/v1alpha1", "kind": kind, **item} for item in items]
        return found

    def try_injection(self, namespace: str) -> Finding:
        """A pod that asks for the sidecar, admitted by the API server and never made (a dry run)."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "wfb-doctor-", "labels": {INJECT: "true"}},
            "spec": {"containers": [{"name": "app", "image": "none.invalid/none"}]},
        }
        path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        try:
            made = self._call("POST", path, pod)
        except ApiException as error:
            return Finding(
                PROBLEM, "injection", "", f"a labelled pod is not admitted: {_why(error)}", "see the message"
            )
        if any(c["name"] == SIDECAR for c in made["spec"].get("initContainers") or ()):
            return Finding(OK, "injection", "", f"a labelled pod in {namespace} gets the sidecar")
        way = "look at the injector's log, and whether the namespace is excluded"
        return Finding(PROBLEM, "injection", "", f"a labelled pod in {namespace} gets no sidecar", way)

    def _webhook(self, unread: dict[str, str]) -> Mapping[str, Any] | None:
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/wfb-injector"
        try:
            return self._get(path)
        except ApiException as error:
            if error.status != 404:
                unread["webhook"] = _why(error)
            return None

    def _get(self, path: str) -> Mapping[str, Any]:
        return self._call("GET", path)

    def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = self._api.call_api(
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                response_types_map={200: "object", 201: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            )
        except (HTTPError, OSError) as error:
            raise LookError(
                f"the API server {self._api.configuration.host} does not answer: {type(error).__name__}"
            ) from error
        return answer


def _why(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])[:300]
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
