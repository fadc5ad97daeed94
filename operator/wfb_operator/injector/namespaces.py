"""Namespaces as the API server has them: admission sends the pod alone."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

SECONDS = 3.0
"""Less than the webhook's own time, so that a slow API server is told apart from a slow injector."""

FRESH_SECONDS = 5.0
"""How long an answer is used: a label that was just set counts for the pods made right after it."""

KEPT_SECONDS = 300.0
"""How long an old answer is used where the API server does not answer."""


class NamespaceError(Exception):
    """What a namespace says is not known."""


class Namespaces:
    """Asks for namespaces, and remembers the answers for a moment."""

    def __init__(self, api: client.ApiClient, monotonic: Callable[[], float]) -> None:
        self._api, self._monotonic = api, monotonic
        self._known: dict[str, tuple[float, Mapping[str, Any]]] = {}

    async def get(self, name: str) -> Mapping[str, Any]:
        """A namespace; raises NamespaceError where it is not known and cannot be asked for."""
        now = self._monotonic()
        known = self._known.get(name)
        if known and now - known[0] < FRESH_SECONDS:
            return known[1]
        try:
            found = await asyncio.to_thread(self._ask, name)
        except NamespaceError:
            if known and now - known[0] < KEPT_SECONDS:
                return known[1]
            raise
        self._known[name] = (now, found)
        if len(self._known) > 10_000:
            self._known.clear()
        return found

    def _ask(self, name: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._api.call_api(
                f"/api/v1/namespaces/{name}",
                "GET",
                header_params={"Accept": "application/json"},
                response_types_map={200: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            )
        except (ApiException, HTTPError, OSError) as error:
            why = f"{error.status} {error.reason}" if isinstance(error, ApiException) else type(error).__name__
            raise NamespaceError(f"namespace {name} cannot be read: {why}") from error
        return found


def api_client(kubeconfig: str | None) -> client.ApiClient:
    """A client of the pod's service account, or of a kubeconfig; raises NamespaceError."""
    settings = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(kubeconfig, client_configuration=settings)
    except config.ConfigException as error:
        raise NamespaceError(f"no way to an API server: {error}") from error
    settings.retries = False
    return client.ApiClient(settings)
