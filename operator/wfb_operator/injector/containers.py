"""The two containers of the sidecar, and the volumes that they and the application share."""

import json
from collections.abc import Mapping
from typing import Any

from wfb_operator.injector import names
from wfb_operator.injector.settings import Settings

_POD_UID = "WFB_POD_UID"
STARTUP_SECONDS = 120
"""How long what comes after the sidecar waits for it."""


_PROBE = {
    # Alive is enough: a sidecar that no ledger answers yet refuses calls, and must not keep the pod from starting.
    "httpGet": {"path": "/healthz", "port": names.HEALTH_PORT},
    "periodSeconds": 1,
    "failureThreshold": STARTUP_SECONDS,
}


def sidecar(settings: Settings, annotations: Mapping[str, str], upstream: str) -> dict[str, Any]:
    """The sidecar: a native one (restartPolicy Always), which starts before and ends after every other container.

    It has no preStop hook: that would run while the application still calls, and cut its way out.
    """
    return sidecar_before_redirect(settings, annotations, upstream) | {"startupProbe": _PROBE}


def sidecar_before_redirect(settings: Settings, annotations: Mapping[str, str], upstream: str) -> dict[str, Any]:
    """The sidecar without a probe: the redirecting container, which runs beside it, waits for it by itself.

    The kubelet asks a probe once a second and looks at containers once a second; one that ends when the sidecar listens
    is seen a second sooner.
    """
    mounts = [
        {"name": names.TRUST, "mountPath": names.TRUST_PATH},
        {"name": names.STATE, "mountPath": names.STATE_PATH},
        {"name": names.TOKEN, "mountPath": names.TOKEN_PATH, "readOnly": True},
    ]
    if extra_configmap(settings, annotations):
        mounts.append({"name": names.EXTRA, "mountPath": names.EXTRA_PATH, "readOnly": True})
    return {
        "name": names.SIDECAR,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "args": ["wfb-sidecar", "--config-env", "WFB_CONFIG"],
        "env": [
            {"name": _POD_UID, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}},
            {"name": "WFB_CONFIG", "value": _configuration(settings, annotations, upstream)},
        ],
        "ports": [{"name": "wfb-health", "containerPort": names.HEALTH_PORT, "protocol": "TCP"}],
        "resources": resources(settings, annotations),
        "securityContext": {
            "runAsUser": names.UID,
            "runAsGroup": names.UID,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def redirect(settings: Settings, annotations: Mapping[str, str]) -> dict[str, Any]:
    """The init container that sends the pod's HTTPS to the sidecar; it ends when the rules are in place and somebody listens.

    Root with two capabilities and no way to more: file capabilities would be a gain that no_new_privs forbids.
    """
    arguments = ["--to-port", str(names.TRANSPARENT_PORT), "--uid", str(names.UID), "--wait", str(STARTUP_SECONDS)]
    for flag, name in (("--exclude-port", names.EXCLUDE_PORTS), ("--exclude-cidr", names.EXCLUDE_CIDRS)):
        for value in listed(annotations.get(name, "")):
            arguments += [flag, value]
    return {
        "name": names.REDIRECT,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["wfb-redirect", *arguments],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def volumes(settings: Settings, annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the sidecar writes for all (roots), keeps for itself (wallet, keys), and is known by (token)."""
    token = {"path": "token", "audience": names.AUDIENCE, "expirationSeconds": 3600}
    found: list[dict[str, Any]] = [
        {"name": names.TRUST, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        {"name": names.STATE, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": names.TOKEN, "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": 0o444}},
    ]
    if configmap := extra_configmap(settings, annotations):
        found.append({"name": names.EXTRA, "configMap": {"name": configmap, "optional": True}})
    return found


def extra_configmap(settings: Settings, annotations: Mapping[str, str]) -> str:
    """The ConfigMap of roots beside the system's; empty for none."""
    return annotations.get(names.EXTRA_CA, settings.extra_ca_configmap)


def resources(settings: Settings, annotations: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The sidecar's requests and limits: the installation's, with what the pod says itself."""
    found = {part: dict(settings.resources.get(part) or {}) for part in ("requests", "limits")}
    for name, (part, what) in names.RESOURCES.items():
        if name in annotations:
            found[part][what] = annotations[name]
    return {part: values for part, values in found.items() if values}


def listed(text: str) -> list[str]:
    """The items of a list with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _configuration(settings: Settings, annotations: Mapping[str, str], upstream: str) -> str:
    """What the sidecar reads, as JSON; Kubernetes puts the pod's UID into it when the container is made.

    "$(" elsewhere is doubled, or Kubernetes would take it for another variable.
    """
    document: dict[str, Any] = {
        "ledger_url": settings.ledger_url,
        "token_file": f"{names.TOKEN_PATH}/token",
        "state_dir": names.STATE_PATH,
        "trust_dir": names.TRUST_PATH,
        "transparent": f"127.0.0.1:{names.TRANSPARENT_PORT}",
        "proxy": f"127.0.0.1:{names.PROXY_PORT}",
        "base_url": f"127.0.0.1:{names.BASE_URL_PORT}",
        "health": f"0.0.0.0:{names.HEALTH_PORT}",
    }
    if settings.ledger_ca:
        document["ledger_ca"] = settings.ledger_ca
    if upstream:
        document["upstream_proxy"] = upstream
    if extra_configmap(settings, annotations):
        document["extra_ca"] = f"{names.EXTRA_PATH}/ca.crt"
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).replace("$(", "$$(")
    return text[:-1] + f',"holder_prefix":"$({_POD_UID})/"}}'
