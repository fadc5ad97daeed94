"""A pod with the sidecar in it: what the webhook answers, as a pure function."""

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from wfb_operator.injector import names
from wfb_operator.injector.choose import Chosen, Object, choose
from wfb_operator.injector.containers import listed, redirect, sidecar, sidecar_before_redirect, volumes
from wfb_operator.injector.proxying import through_proxy, upstream_proxy, with_base_urls
from wfb_operator.injector.reasons import DENIED, INJECTED, UNCHANGED, Report, Warned
from wfb_operator.injector.settings import Settings
from wfb_operator.injector.trust import trusting

type Patch = list[dict[str, Any]]

_CIDR = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?")


def inject(pod: Object, namespace: Object, settings: Settings) -> tuple[Patch, Report]:
    """The JSON patch (RFC 6902) that gives a pod the sidecar, and the report; injecting twice changes nothing more.

    ``pod`` and ``namespace`` are objects of the Kubernetes API; neither is changed.
    """
    chosen = choose(pod, namespace, settings)
    if isinstance(chosen, Report):
        return [], chosen
    if bad := _bad_annotation(chosen.annotations):
        return [], Report(DENIED, "BadAnnotation", bad)
    made, warnings = _made(pod, chosen, settings)
    patch = _difference(pod, made)
    found = (*chosen.warnings, *warnings)
    if not patch:
        return [], Report(UNCHANGED, "AlreadyInjected", warnings=found, mode=chosen.mode)
    return patch, Report(INJECTED, "Injected", f"Mode {chosen.mode}.", found, chosen.mode)


def apply_patch(pod: Object, patch: Patch) -> dict[str, Any]:
    """A pod with a patch of `inject` applied: for what is shown, not sent."""
    made: dict[str, Any] = copy.deepcopy(dict(pod))
    for step in patch:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        target = made
        for part in parents:
            target = target.setdefault(part, {})
        target[last] = copy.deepcopy(step["value"])
    return made


def _made(pod: Object, chosen: Chosen, settings: Settings) -> tuple[dict[str, Any], list[Warned]]:
    made: dict[str, Any] = copy.deepcopy(dict(pod))
    metadata, spec = made.setdefault("metadata", {}), made["spec"]
    apps = spec.get("containers") or []
    others = [c for c in spec.get("initContainers") or [] if c["name"] not in names.CONTAINERS]
    upstream, warnings = _upstream(pod, [*apps, *others], chosen.mode)
    for container in (*others, *apps):
        warnings += _equip(container, chosen, settings)
    if chosen.mode == names.TRANSPARENT:
        ours = [
            sidecar_before_redirect(settings, chosen.annotations, upstream),
            redirect(settings, chosen.annotations),
        ]
    else:
        ours = [sidecar(settings, chosen.annotations, upstream)]
    # First of all: whatever calls a provider, another init container too, finds the sidecar at work.
    spec["initContainers"] = [_as_it_was(pod, container) for container in ours] + others
    kept = [v for v in spec.get("volumes") or [] if v["name"] not in names.VOLUMES]
    spec["volumes"] = kept + volumes(settings, chosen.annotations)
    annotations = dict(metadata.get("annotations") or {})
    annotations[names.INJECTED] = json.dumps({"version": settings.version, "mode": chosen.mode})
    if apps:  # so that kubectl logs and exec go on meaning the application
        for name in ("default-container", "default-logs-container"):
            annotations.setdefault(f"kubectl.kubernetes.io/{name}", apps[0]["name"])
    metadata["annotations"] = annotations
    return made, warnings


def _equip(container: dict[str, Any], chosen: Chosen, settings: Settings) -> list[Warned]:
    """Give one container of the application its variables and what to trust."""
    if chosen.mode == names.BASE_URL:
        container["env"] = with_base_urls(container.get("env") or [])
        return []
    java = chosen.annotations.get(names.JAVA) == "true"
    environment, warnings = trusting(container, chosen.annotations, java=java)
    if chosen.mode == names.PROXY_ENV:
        environment = through_proxy(environment, settings)
    container["env"] = environment
    mounts = [m for m in container.get("volumeMounts") or [] if m["name"] != names.TRUST]
    container["volumeMounts"] = [*mounts, {"name": names.TRUST, "mountPath": names.TRUST_PATH, "readOnly": True}]
    return warnings


def _upstream(pod: Object, containers: list[dict[str, Any]], mode: str) -> tuple[str, list[Warned]]:
    """The proxy of before: in the containers, or, in a second pass, in the sidecar that is there already."""
    if mode == names.BASE_URL:
        return "", []
    found, warnings = upstream_proxy(containers)
    if found:
        return found, warnings
    for container in pod["spec"].get("initContainers") or ():
        if container["name"] == names.SIDECAR:
            for entry in container.get("env") or ():
                if entry["name"] == "WFB_CONFIG":
                    return _upstream_of(entry.get("value", "")), warnings
    return "", warnings


def _upstream_of(configuration: str) -> str:
    try:
        return str(json.loads(configuration.replace("$$(", "$(")).get("upstream_proxy", ""))
    except (ValueError, AttributeError):
        return ""


def _as_it_was(pod: Object, made: dict[str, Any]) -> dict[str, Any]:
    """The container as the pod has it, where that differs only in what the API server's defaults add."""
    for there in pod["spec"].get("initContainers") or ():
        if there["name"] == made["name"] and _includes(there, made):
            return copy.deepcopy(dict(there))
    return made


def _includes(there: Any, made: Any) -> bool:
    if isinstance(made, dict):
        return isinstance(there, Mapping) and all(k in there and _includes(there[k], v) for k, v in made.items())
    if isinstance(made, list):
        # Other webhooks, and the API server itself, add mounts behind ours.
        return isinstance(there, list) and len(there) >= len(made) and all(map(_includes, there, made))
    return bool(there == made)


def _difference(before: Object, after: Mapping[str, Any]) -> Patch:
    """Whole lists are replaced, since the API server applies the patch to the very object that was sent."""
    patch: Patch = []
    for parent, keys in (("metadata", ("annotations",)), ("spec", ("initContainers", "containers", "volumes"))):
        if parent not in before:
            patch.append({"op": "add", "path": f"/{parent}", "value": after[parent]})
            continue
        for key in keys:
            was, now = before[parent].get(key), after[parent].get(key)
            if now is not None and was != now:
                patch.append({"op": "replace" if was is not None else "add", "path": f"/{parent}/{key}", "value": now})
    return patch


def _bad_annotation(annotations: Mapping[str, str]) -> str:
    for port in listed(annotations.get(names.EXCLUDE_PORTS, "")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            return f"{names.EXCLUDE_PORTS}: {port!r} is not a port: write numbers with commas, such as 5432,6379."
    for cidr in listed(annotations.get(names.EXCLUDE_CIDRS, "")):
        if not _CIDR.fullmatch(cidr):
            return f"{names.EXCLUDE_CIDRS}: {cidr!r} is not a network: write such as 10.0.0.0/8."
    for name in names.RESOURCES:
        if name in annotations and not _QUANTITY.fullmatch(annotations[name]):
            return f"{name}: {annotations[name]!r} is not a quantity: write such as 200m or 256Mi."
    for name in (names.OVERRIDE_TRUST, names.JAVA):
        if annotations.get(name, "true") not in ("true", "false"):
            return f'{name}: {annotations[name]!r} means nothing: write "true" or "false".'
    return ""
