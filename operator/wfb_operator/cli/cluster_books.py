"""The books of a cluster, read through its API server with the user's own rights, whatever they logged in with."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader, KubeConfigMerger
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.resource_books import ResourceBooks
from wfb_operator.cli.state import LedgerError
from wfb_operator.showback.books import Row

ROOT = "/apis/spend.aifinops.dev/v1alpha1"
SECONDS = 15.0
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ClusterBooks(ResourceBooks):
    """The aggregated API ``spend.aifinops.dev`` of one cluster, for one namespace or for all."""

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
        *,
        everywhere: bool = False,
    ) -> None:
        """Without a namespace the context's own is read; raises UsageError where there is no cluster to ask."""
        settings = client.Configuration()
        own = _load(settings, kubeconfig, context)
        self.namespace = "" if everywhere else namespace or own
        """The namespace that is read; empty for all."""
        settings.retries = False
        self._api = client.ApiClient(settings)

    @property
    def scope(self) -> str:
        """Whose books these are, in words."""
        return f"namespace {self.namespace}" if self.namespace else "all namespaces"

    def decision(self, name: str) -> Row | None:
        """One decision by its id; None where it is not known in these books."""
        return next(iter(self.get("decisions", {"id": name})["decisions"]), None)

    def get(self, resource: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One resource of the aggregated API; raises LedgerError with the API server's sentence."""
        status, body = self.ask(resource, query)
        if status == 200:
            return body
        raise LedgerError(self._why(status, body), status)

    def ask(self, resource: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The status and the object that came; 502 where the API server did not answer."""
        within = f"namespaces/{quote(self.namespace, safe='')}/" if self.namespace else ""
        try:
            found: dict[str, Any] = self._api.call_api(
                f"{ROOT}/{within}{resource}",
                "GET",
                query_params=list(query.items()),
                header_params={"Accept": "application/json"},
                response_types_map={200: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            )
        except ApiException as error:
            return error.status or 502, {"message": _said(error)}
        except (HTTPError, OSError) as error:
            return 502, {"message": f"the API server does not answer: {type(error).__name__}"}
        return 200, found

    def _why(self, status: int, body: Mapping[str, Any]) -> str:
        message = str(body.get("message", ""))
        if status == 404:
            return (
                "this cluster has no API spend.aifinops.dev: install the chart, with its value people.enabled, or ask"
                " whoever runs it"
            )
        if status == 403:
            more = (
                "name one that you may view with --namespace" if not self.namespace else "ask for the role view there"
            )
            return f"you may not read the spend of {self.scope}: {message}; {more}"
        return f"the books of {self.scope} cannot be read: {message}"


def _load(settings: client.Configuration, kubeconfig: str | None, context: str | None) -> str:
    """Fills the settings from a kubeconfig, or from the pod's account as kubectl does; returns the namespace they name."""
    try:
        config.load_kube_config(kubeconfig, context=context, client_configuration=settings)
        # What the client lists of contexts asks for a current one, which --context can do without.
        merged = KubeConfigMerger(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION).config
        chosen = KubeConfigLoader(merged, active_context=context).current_context
    except (config.ConfigException, OSError) as error:
        if not (kubeconfig or context):
            with contextlib.suppress(config.ConfigException, OSError):
                config.load_incluster_config(client_configuration=settings)
                return POD_NAMESPACE.read_text().strip()
        raise UsageError(f"no cluster to read the books of: {error}; give --kubeconfig FILE") from error
    except (
        YAMLError,
        TypeError,
        AttributeError,
        ValueError,
        KeyError,
    ) as error:  # the client reads what is no kubeconfig so
        file = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
        raise UsageError(
            f"{file} is no kubeconfig ({type(error).__name__}): see it with kubectl config view, or give --kubeconfig FILE"
        ) from error
    return str(chosen.get("context", {}).get("namespace") or "default")


def _said(error: ApiException) -> str:
    """The sentence of a Status, or what there is."""
    body = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return (text or str(error.reason))[:500]
