"""The checks: each reads what was seen and yields findings; none asks anything itself."""

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from wfb_core.selectors import LABEL_PREFIX, SHORT_LABELS
from wfb_operator.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding
from wfb_operator.doctor.seen import Object, Seen, name_of

INJECT = LABEL_PREFIX + "inject"
KNOWN = tuple(LABEL_PREFIX + name for name in (*SHORT_LABELS, "inject"))
ANNOTATIONS = tuple(
    LABEL_PREFIX + name
    for name in (
        "mode",
        "exclude-outbound-ports",
        "exclude-outbound-cidrs",
        "override-trust-env",
        "extra-ca-configmap",
        "java-truststore",
        "injected",
        "sidecar-cpu-request",
        "sidecar-cpu-limit",
        "sidecar-memory-request",
        "sidecar-memory-limit",
    )
)
SIDECAR = "wfb-sidecar"
ENDED = ("Succeeded", "Failed")


def installed(seen: Seen) -> Iterator[Finding]:
    """Whether the kinds and the webhook are there."""
    if why := seen.unread.get("budgets"):
        way = "install the chart with crds.enabled=true, or ask for the role wfb-view"
        yield Finding(PROBLEM, "installed", "", f"budgets cannot be read: {why}", way)
    if why := seen.unread.get("webhook"):
        yield Finding(NOTE, "installed", "", f"the webhook's configuration cannot be read: {why}")
    elif seen.webhook is None:
        way = "install the chart: without it no pod gets the sidecar"
        yield Finding(PROBLEM, "installed", "", "there is no MutatingWebhookConfiguration wfb-injector", way)
    elif any(not hook.get("clientConfig", {}).get("caBundle") for hook in seen.webhook.get("webhooks", ())):
        way = "look at the controller's log: it makes the certificate and writes its root here"
        subject = "mutatingwebhookconfiguration wfb-injector"
        yield Finding(PROBLEM, "installed", subject, "the API server does not know the injector's root (caBundle)", way)
    else:
        yield Finding(OK, "installed", "", "the kinds and the webhook are installed")


def labels(seen: Seen) -> Iterator[Finding]:
    """Labels and annotations under our prefix that nobody reads, and values that mean nothing."""
    for found, kind in _labelled(seen):
        metadata = found["metadata"]
        for field, known in (("labels", KNOWN), ("annotations", ANNOTATIONS)):
            for key, value in (metadata.get(field) or {}).items():
                if field == "labels" and key == INJECT and value not in ("true", "false"):
                    way = f'write {INJECT}: "true" or "false"'
                    yield Finding(WARNING, "labels", name_of(found, kind), f"{INJECT}={value} means nothing", way)
                elif problem := _unknown(key, known, KNOWN + ANNOTATIONS, field):
                    yield Finding(WARNING, "labels", name_of(found, kind), *problem)


def templates(seen: Seen) -> Iterator[Finding]:
    """Workloads that carry our labels themselves, where their pods do not."""
    for workload in seen.workloads:
        own, pods = workload["metadata"].get("labels") or {}, _template(workload).get("labels") or {}
        lost = sorted(key for key in own if key in KNOWN and key not in pods)
        if lost:
            way = "move it to spec.template.metadata.labels: pods get the template's labels alone"
            message = f"{', '.join(lost)} stands on the {workload['kind']} and not on its pods"
            yield Finding(WARNING, "templates", name_of(workload), message, way)


def pods(seen: Seen) -> Iterator[Finding]:
    """Pods that ask for the sidecar and run without it, and pods that say who they are and do not ask."""
    above, fine = seen.namespace_labels, 0
    for pod in seen.pods:
        if (pod.get("status") or {}).get("phase") in ENDED:
            continue
        own = pod["metadata"].get("labels") or {}
        asks = own.get(INJECT, above.get(pod["metadata"].get("namespace", ""), {}).get(INJECT)) == "true"
        has = any(c["name"] == SIDECAR for c in pod["spec"].get("initContainers") or ())
        if has:
            fine += 1
        elif asks and pod["spec"].get("hostNetwork"):
            way = "take hostNetwork away: the node's own network is never redirected"
            yield Finding(WARNING, "pods", name_of(pod, "pod"), "asks for the sidecar and cannot have it", way)
        elif asks:
            way = "start it anew; if it stays so, read the Events of its owner"
            yield Finding(WARNING, "pods", name_of(pod, "pod"), "asks for the sidecar and runs without it", way)
        elif LABEL_PREFIX + "workflow" in own and own.get(INJECT) != "false":
            way = f"label it or its namespace {INJECT}=true"
            message = "names its workflow and does not ask for the sidecar, so its calls are not counted"
            yield Finding(WARNING, "pods", name_of(pod, "pod"), message, way)
    if fine:
        yield Finding(OK, "pods", "", f"{fine} pods have the sidecar")


def budgets(seen: Seen) -> Iterator[Finding]:
    """Conditions of budgets that are not as they should be, in their own words."""
    fine = 0
    for budget in seen.budgets:
        status = budget.get("status") or {}
        subject = name_of(budget, "wfb" if budget["metadata"].get("namespace") else "cwfb")
        if not status.get("conditions"):
            way = "look at the controller's log"
            yield Finding(PROBLEM, "budgets", subject, "has no status: the controller has not seen it", way)
            continue
        bad = [c for c in status["conditions"] if _bad(c)]
        fine += not bad
        for condition in bad:
            level = PROBLEM if condition["type"] == "Ready" else WARNING
            yield Finding(level, "budgets", subject, f"{condition['type']}: {condition.get('message', '')}")
    if fine:
        yield Finding(OK, "budgets", "", f"{fine} budgets are in force")


CHECKS: Mapping[str, Callable[[Seen], Iterator[Finding]]] = {
    "installed": installed,
    "labels": labels,
    "templates": templates,
    "pods": pods,
    "budgets": budgets,
}
"""All checks by name, in the order in which they are told."""


def examine(seen: Seen, only: Collection[str] = ()) -> list[Finding]:
    """Every finding of every check, or of those that are named."""
    return [found for name, check in CHECKS.items() if not only or name in only for found in check(seen)]


def _labelled(seen: Seen) -> Iterator[tuple[Object, str]]:
    for namespace in seen.namespaces:
        yield namespace, "namespace"
    for workload in seen.workloads:
        yield workload, workload["kind"]
        yield {"metadata": {**_template(workload), **_place(workload)}}, f"{workload['kind']} template"
    for pod in seen.pods:
        if not pod["metadata"].get("ownerReferences"):  # what an owner made is told of the owner
            yield pod, "pod"


def _place(workload: Object) -> dict[str, Any]:
    return {key: workload["metadata"][key] for key in ("name", "namespace") if key in workload["metadata"]}


def _template(workload: Object) -> Mapping[str, Any]:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Mapping[str, Any] = (spec.get("template") or {}).get("metadata") or {}
    return found


def _unknown(key: str, here: tuple[str, ...], known: tuple[str, ...], field: str) -> tuple[str, str] | None:
    """(what is wrong, the way out) for a key that is ours and unknown, or that stands in the wrong place."""
    if key in here:
        return None
    if key in known and key.startswith(LABEL_PREFIX):
        other = "annotations" if field == "labels" else "labels"
        return f"{key} stands under {field} and is read from {other} alone", f"move it to metadata.{other}"
    near = get_close_matches(key, here, 1, 0.85)
    if key.startswith(LABEL_PREFIX) or near:
        meant = f"did you mean {near[0]}?" if near else f"known here: {', '.join(k.split('/')[1] for k in here)}"
        return f"nobody reads {key}", meant
    return None


def _bad(condition: Mapping[str, Any]) -> bool:
    if condition["type"] == "PodsCovered":
        return bool(condition["status"] != "True")
    return bool(condition["status"] == "False") and condition["type"] in ("Ready", "PricesKnown", "WithinBudget")
