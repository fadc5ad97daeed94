"""A cluster asked through its API server, by the official client. It blocks: call it in a thread."""

import logging
from collections.abc import Mapping
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from wfb_core.attribution import Owner, controller_of
from wfb_operator.ledger.cluster import ClusterAwayError, Reviewed
from wfb_operator.ledger.people.access import Wish
from wfb_operator.ledger.people.discovery import GROUP, VERSION
from wfb_operator.ledger.people.person import CONFIG_MAP, Person

log = logging.getLogger(__name__)

SECONDS = 5.0
"""How long one question may take."""

OWNERS_MOST = 5
"""Steps up from a pod; real chains have at most three (Pod, Job, CronJob)."""

_PLURALS = {
    ("apps", "ReplicaSet"): ("v1", "replicasets"),
    ("batch", "Job"): ("v1", "jobs"),
    ("argoproj.io", "Workflow"): ("v1alpha1", "workflows"),
}
"""Owners that have owners of their own worth knowing: what they were made by names the workflow."""


class KubernetesApi:
    """The real one, with this process's own service account or a kubeconfig."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        """``kubeconfig`` None takes the pod's service account; raises ClusterAwayError where neither can be read."""
        settings = client.Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(kubeconfig, client_configuration=settings)
        except config.ConfigException as error:
            raise ClusterAwayError(f"no way to an API server: {error}") from error
        settings.retries = False
        self._api = client.ApiClient(settings)

    def review(self, token: str, audience: str) -> Reviewed | None:
        """See Cluster.

        Answers None unless the review says that the token is for the audience: an API server that ignores
        audiences returns none, and then a token for any other service would pass.
        """
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        status = self._call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body).get("status", {})
        if not status.get("authenticated") or audience not in (status.get("audiences") or ()):
            return None
        user = status.get("user", {})
        extra = user.get("extra") or {}
        name = extra.get("authentication.kubernetes.io/pod-name") or [""]
        uid = extra.get("authentication.kubernetes.io/pod-uid") or [""]
        return Reviewed(user.get("username", ""), name[0], uid[0])

    def pod(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See Cluster."""
        return self._get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def namespace(self, name: str) -> Mapping[str, Any] | None:
        """See Cluster."""
        return self._get(f"/api/v1/namespaces/{name}")

    def owners(self, pod: Mapping[str, Any]) -> list[Owner]:
        """See Cluster; an owner that is gone, of a kind that is not looked up, or that may not be read, ends the chain."""
        namespace = pod["metadata"]["namespace"]
        found: list[Owner] = []
        owner = controller_of(pod)
        while owner is not None and len(found) < OWNERS_MOST:
            found.append(owner)
            known = _PLURALS.get((owner.group, owner.kind))
            if known is None:
                break
            version, plural = known
            above = self._owner(f"/apis/{owner.group}/{version}/namespaces/{namespace}/{plural}/{owner.name}")
            owner = controller_of(above) if above is not None and above["metadata"]["uid"] == owner.uid else None
        return found

    def _owner(self, path: str) -> Mapping[str, Any] | None:
        try:
            return self._get(path)
        except _ForbiddenError as refused:
            # Without it a workflow may be called by a nearer owner's name; without a pod's identity its calls would fail.
            log.warning(
                "%s: what made it is left out of its pods' workflow; the chart's ClusterRole wfb-ledger grants it",
                refused,
            )
            return None

    def allowed(self, person: Person, wish: Wish) -> bool:
        """See people.access.Judge."""
        attributes = {
            "group": GROUP,
            "version": VERSION,
            "resource": wish.resource,
            "verb": wish.verb,
            "namespace": wish.namespace,
            "name": wish.name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": person.name,
                "groups": list(person.groups),
                "extra": {key: list(values) for key, values in person.extra.items()},
                "resourceAttributes": attributes,
            },
        }
        status = self._call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body).get("status", {})
        return bool(status.get("allowed")) and not status.get("denied")

    def front_proxy(self) -> Mapping[str, str]:
        """What the API server says of its front proxy: the data of the ConfigMap; raises ClusterAwayError."""
        namespace, name = CONFIG_MAP
        found = self._get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        return dict((found or {}).get("data") or {})

    def _get(self, path: str) -> Mapping[str, Any] | None:
        try:
            return self._call("GET", path)
        except _NotFoundError:
            return None

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
        except ApiException as error:
            if error.status == 404:
                raise _NotFoundError from error
            if error.status == 403:
                raise _ForbiddenError(f"{method} {path}: the ledger may not: {error.reason}") from error
            raise ClusterAwayError(f"{method} {path}: the API server answered {error.status} {error.reason}") from error
        except (HTTPError, OSError) as error:
            raise ClusterAwayError(f"{method} {path}: {type(error).__name__}") from error
        return answer


class _NotFoundError(Exception):
    """There is no such object."""


class _ForbiddenError(ClusterAwayError):
    """This process has no right to it."""
