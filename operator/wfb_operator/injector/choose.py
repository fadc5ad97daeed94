"""Whether a pod gets the sidecar, and by which way its calls reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wfb_operator.injector.names import (
    CONTAINERS,
    INJECT,
    INJECTED,
    MODE,
    MODES,
    PROXY_ENV,
    READ,
    TRANSPARENT,
    UID,
    VOLUMES,
)
from wfb_operator.injector.reasons import DENIED, PROXY_INSTEAD, SKIPPED, Report, Warned
from wfb_operator.injector.settings import Settings

type Object = Mapping[str, Any]

ENFORCE = "pod-security.kubernetes.io/enforce"
STRICT_LEVELS = ("baseline", "restricted")
"""Pod Security levels that forbid NET_ADMIN, and with it redirection (kubernetes.io, Pod Security Standards)."""

_MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be done with a pod."""

    mode: str
    annotations: Mapping[str, str]
    """Those that are read, the namespace's where the pod has none."""
    warnings: tuple[Warned, ...] = field(default=())


def choose(pod: Object, namespace: Object, settings: Settings) -> Chosen | Report:
    """The way for a pod, or the report why it gets no sidecar, or is refused."""
    if why := _left_alone(pod, namespace):
        return Report(SKIPPED, why)
    if denied := _denied(pod):
        return denied
    annotations = read_annotations(pod, namespace)
    mode = annotations.get(MODE, settings.mode)
    if mode not in MODES:
        return Report(DENIED, "UnknownMode", f"{MODE}={mode!r}: write one of {', '.join(MODES)}.")
    level = _labels(namespace).get(ENFORCE, "")
    if mode == TRANSPARENT and level in STRICT_LEVELS:
        message = (
            f"the namespace enforces the Pod Security level {level}, which forbids redirection: mode {PROXY_ENV} is used."
            f" Programs that ignore HTTPS_PROXY go uncounted; say {MODE}={PROXY_ENV} to agree and silence this."
        )
        return Chosen(PROXY_ENV, annotations, (Warned(PROXY_INSTEAD, message),))
    return Chosen(mode, annotations)


def read_annotations(pod: Object, namespace: Object) -> dict[str, str]:
    """The annotations that are ours to read: the pod's, and of its namespace those that the pod lacks."""
    above = namespace.get("metadata", {}).get("annotations") or {}
    own = pod.get("metadata", {}).get("annotations") or {}
    return {name: str(source[name]) for source in (above, own) for name in READ if name in source}


def _left_alone(pod: Object, namespace: Object) -> str:
    own = _labels(pod).get(INJECT)
    spec = pod.get("spec", {})
    if own == "false":
        return "OptedOut"
    if own != "true" and _labels(namespace).get(INJECT) != "true":
        return "NotAsked"
    if _MIRROR in (pod.get("metadata", {}).get("annotations") or {}):
        return "MirrorPod"
    if spec.get("hostNetwork"):
        return "HostNetwork"
    windows = (spec.get("os") or {}).get("name") == "windows"
    if windows or (spec.get("nodeSelector") or {}).get("kubernetes.io/os") == "windows":
        return "Windows"
    return ""


def _denied(pod: Object) -> Report | None:
    spec = pod.get("spec", {})
    ours = INJECTED in (pod.get("metadata", {}).get("annotations") or {})
    mine = [c for c in spec.get("initContainers") or () if c.get("name") in CONTAINERS]
    containers = [c for part in ("containers", "initContainers") for c in spec.get(part) or ()]
    foreign = [c for c in containers if c not in mine]
    for container in foreign:
        if container.get("name") in CONTAINERS:
            return Report(DENIED, "OurName", f"Rename the container {container['name']}.")
    if not ours:
        for part, names in ((mine, CONTAINERS), (spec.get("volumes") or (), VOLUMES)):
            for found in part:
                if found.get("name") in names:
                    return Report(DENIED, "OurName", f"Rename {found['name']}.")
    users = [
        (spec.get("securityContext") or {}).get("runAsUser"),
        (spec.get("securityContext") or {}).get("runAsGroup"),
    ]
    for container in foreign:
        context = container.get("securityContext") or {}
        users += [context.get("runAsUser"), context.get("runAsGroup")]
    if UID in users:
        return Report(DENIED, "OurUser", f"Choose another runAsUser and runAsGroup than {UID}.")
    if spec.get("shareProcessNamespace"):
        return Report(
            DENIED, "SharedProcesses", "Take shareProcessNamespace away, or opt out with aifinops.dev/inject=false."
        )
    return None


def _labels(found: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = found.get("metadata", {}).get("labels") or {}
    return labels
