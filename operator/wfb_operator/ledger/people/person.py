"""Who asks, as the API server says it: headers that count only over a connection with its front-proxy certificate.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/ (what the ConfigMap
``kube-system/extension-apiserver-authentication`` holds, and which headers an extension API server reads).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

CONFIG_MAP = ("kube-system", "extension-apiserver-authentication")
"""Namespace and name of what the API server says of its front proxy."""


class NotTheFrontProxyError(Exception):
    """The connection is not the API server's, or it says nobody: nothing that its headers claim counts."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever asked the API server: a user, a service account, a certificate's owner."""

    name: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """One text for all that rights may depend on."""
        return json.dumps([self.name, self.groups, sorted(self.extra.items())])


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """What the API server says of its own certificate and headers."""

    roots: str
    """PEM: who signs its certificate."""
    names: frozenset[str] = frozenset()
    """The common names that its certificate may have; empty allows every one that the roots signed."""
    user_headers: tuple[str, ...] = ("X-Remote-User",)
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)

    @classmethod
    def from_config(cls, data: Mapping[str, str]) -> "FrontProxy":
        """From the ConfigMap's data; raises ValueError where aggregation is not set up in the cluster."""
        roots = data.get("requestheader-client-ca-file", "")
        if not roots.strip():
            raise ValueError(
                f"the ConfigMap {'/'.join(CONFIG_MAP)} has no requestheader-client-ca-file: the API server was started"
                " without aggregation"
            )
        default = cls(roots)
        return cls(
            roots,
            frozenset(_listed(data, "requestheader-allowed-names")),
            _listed(data, "requestheader-username-headers") or default.user_headers,
            _listed(data, "requestheader-group-headers") or default.group_headers,
            _listed(data, "requestheader-extra-headers-prefix") or default.extra_prefixes,
        )

    def person(self, certificate: Mapping[str, Any] | None, headers: Iterable[tuple[str, str]]) -> Person:
        """Who asks, by a verified peer certificate (as ``ssl.SSLSocket.getpeercert`` gives it) and a request's headers.

        Raises NotTheFrontProxyError.
        """
        common_name = _common_name(certificate or {})
        if not certificate or (self.names and common_name not in self.names):
            raise NotTheFrontProxyError(
                f"the connection's certificate is {common_name or 'nobody'}'s and not the API server's: ask through it,"
                " as kubectl wfb does"
            )
        given = [(name.lower(), value) for name, value in headers]
        names = [value for header in self.user_headers for name, value in given if name == header.lower() and value]
        if not names:
            raise NotTheFrontProxyError(f"the API server named nobody in {', '.join(self.user_headers)}")
        groups = [value for header in self.group_headers for name, value in given if name == header.lower()]
        extra: dict[str, tuple[str, ...]] = {}
        for name, value in given:
            for prefix in self.extra_prefixes:
                if name.startswith(prefix.lower()):
                    key = unquote(name[len(prefix) :])
                    extra[key] = (*extra.get(key, ()), value)
        return Person(names[0], tuple(groups), extra)


def _listed(data: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        found = json.loads(data.get(name) or "[]")
    except ValueError as error:
        raise ValueError(f"{name} of the ConfigMap {'/'.join(CONFIG_MAP)} is not JSON: {error}") from error
    return tuple(str(one) for one in found) if isinstance(found, list) else ()


def _common_name(certificate: Mapping[str, Any]) -> str:
    return next(
        (value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"),
        "",
    )
