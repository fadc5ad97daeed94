"""Who speaks: a bearer token's role, and for a sidecar the pod it stands for."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wfb_core.budget import Budget
from wfb_core.selectors import within
from wfb_operator.ledger.store.port import StoredIdentity, StoredPod

SIDECAR, CONTROLLER, READER = "sidecar", "controller", "reader"
ROLES = (SIDECAR, CONTROLLER, READER)

LABEL_PREFIX = "aifinops.dev/"
LONGEST = 512
MOST_LABELS = 64

OF_NAMESPACE = "namespace:"
"""Before the keys of the namespace's labels where a store keeps them beside the pod's; no label's key holds a colon."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What the controller vouched for."""

    token_sha256: str
    role: str
    holder_prefix: str = ""
    """Every holder name that this token may report under begins with it; sidecars only."""
    labels: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    namespace: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """One of our labels by its short name, such as ``team``; empty where the pod has none."""
        return self.labels.get(LABEL_PREFIX + name, "")

    def within(self, budget: Budget) -> bool:
        """Whether the budget is for this pod: its labels match, and its namespace where both have one."""
        return within(budget, self.labels, self.namespace, self.namespace_labels)

    def frozen(self, pod: StoredPod) -> "Identity":
        """The same token with the pod as it was at its first report: labels changed later move no money."""
        labels, above = _read(pod.labels)
        return replace(self, labels=labels, run=pod.run, namespace=pod.namespace, namespace_labels=above)

    def stored(self) -> StoredIdentity:
        """As a store keeps it."""
        return StoredIdentity(
            self.token_sha256, self.role, self.holder_prefix, self._labels(), self.run, self.namespace
        )

    def pod(self, now: float) -> StoredPod:
        """The pod as its first report freezes it."""
        return StoredPod(self.holder_prefix, self._labels(), self.run, self.namespace, now)

    def _labels(self) -> str:
        """The labels of pod and namespace in one text."""
        above = {OF_NAMESPACE + key: value for key, value in self.namespace_labels.items()}
        return _json({**self.labels, **above})


def token_sha256(token: str) -> str:
    """The name under which a token is known; the token itself is kept nowhere."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def from_store(row: StoredIdentity) -> Identity:
    """An identity as it was stored."""
    labels, above = _read(row.labels)
    return Identity(row.token_sha256, row.role, row.holder_prefix, labels, row.run, row.namespace, above)


def parse_identities(body: Any) -> list[Identity]:
    """The identities of a request's body; raises ValueError that names the field, the value and the way out."""
    if not isinstance(body, dict) or not isinstance(body.get("identities"), list):
        raise ValueError('identities: is not a list: send {"identities": [{"token_sha256": …, "role": …}]}')
    return [_identity(item, f"identities[{n}]") for n, item in enumerate(body["identities"])]


def _identity(item: Any, at: str) -> Identity:
    if not isinstance(item, dict):
        raise ValueError(f"{at}: is not an object: give token_sha256, role, holder_prefix, labels, run, namespace")
    known = ("token_sha256", "role", "holder_prefix", "labels", "run", "namespace", "namespace_labels")
    if unknown := sorted(item.keys() - set(known)):
        raise ValueError(f"{at}.{unknown[0][:80]}: is not a known field; known here: {', '.join(known)}")
    token, role = item.get("token_sha256"), item.get("role")
    if not isinstance(token, str) or not _SHA256.fullmatch(token):
        raise ValueError(f"{at}.token_sha256: is not a SHA-256: give the 64 lower-case hex digits of the token's hash")
    if role not in ROLES:
        raise ValueError(f"{at}.role: {ascii(role)[:60]} is not a role: choose one of {', '.join(ROLES)}")
    prefix = _text(item, "holder_prefix", at)
    if role == SIDECAR and not prefix:
        raise ValueError(
            f"{at}.holder_prefix: is missing: give what the sidecar's holder names begin with, such as its pod's UID;"
            " without it one pod could report for another"
        )
    run, namespace = _text(item, "run", at), _text(item, "namespace", at)
    labels, above = _labels(item, "labels", at), _labels(item, "namespace_labels", at)
    return Identity(token, role, prefix, labels, run, namespace, above)


def _labels(item: Mapping[str, Any], name: str, at: str) -> dict[str, str]:
    labels = item.get(name, {})
    if not isinstance(labels, dict) or len(labels) > MOST_LABELS:
        raise ValueError(f"{at}.{name}: is not a mapping of at most {MOST_LABELS} labels")
    for key in labels:
        _text(labels, key, f"{at}.{name}")
        if ":" in key:
            raise ValueError(f"{at}.{name}.{key[:80]}: is not a label's key: a colon is in none of them")
    return dict(labels)


def _text(item: Mapping[str, Any], name: str, at: str) -> str:
    value = item.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST or not _encodes(value):
        raise ValueError(f"{at}.{name[:80]}: is not text of at most {LONGEST} characters")
    return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(labels: str) -> tuple[dict[str, str], dict[str, str]]:
    """The labels of a pod and of its namespace, from their text."""
    own: dict[str, str] = {}
    above: dict[str, str] = {}
    for key, value in json.loads(labels).items():
        if key.startswith(OF_NAMESPACE):
            above[key.removeprefix(OF_NAMESPACE)] = value
        else:
            own[key] = value
    return own, above


def _json(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(labels.items())), separators=(",", ":"))
