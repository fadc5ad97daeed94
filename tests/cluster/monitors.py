"""The chart's PodMonitors as scrapes of a Prometheus that finds the pods through the API, as its operator would write them."""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster import install, kubeconfig, parts
from cluster.own import Own


def scrapes(cluster: Own, folder: Path) -> list[dict[str, Any]]:
    """A scrape_config for each endpoint of the chart's PodMonitors; `folder` takes the files that they name."""
    way_in = _way_in(cluster, folder)
    text = install.helm(
        cluster,
        "template",
        "wfb",
        str(install.CHART),
        "--set",
        "podMonitor.enabled=true",
        "-s",
        "templates/podmonitor.yaml",
    )
    monitors = [one for one in yaml.safe_load_all(text) if one]
    return [
        _scrape(cluster, folder, way_in, monitor, endpoint)
        for monitor in monitors
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
    ]


def _way_in(cluster: Own, folder: Path) -> Path:
    """A kubeconfig by which Prometheus looks pods up and does nothing else; for use inside the cluster's network."""
    name = "prometheus"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    cluster.apply([{**kind, "kind": "ClusterRole", "rules": [rule]}])
    cluster.apply([{**kind, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}])
    assert cluster.authority
    pair = cluster.authority.sign(f"user-{name}", name)
    url = f"https://127.0.0.1:{parts.PORT}"
    return kubeconfig.write(folder / "prometheus.kubeconfig", url, cluster.authority.root, pair)


def _scrape(
    cluster: Own, folder: Path, way_in: Path, monitor: Mapping[str, Any], endpoint: Mapping[str, Any]
) -> dict[str, Any]:
    metadata, spec = monitor["metadata"], monitor["spec"]
    found: dict[str, Any] = {"role": "pod", "kubeconfig_file": str(way_in)}
    if not spec.get("namespaceSelector", {}).get("any"):
        found["namespaces"] = {"names": [metadata["namespace"]]}
    job: dict[str, Any] = {
        "job_name": metadata["name"],
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "scheme": endpoint.get("scheme", "http"),
        "kubernetes_sd_configs": [found],
        "relabel_configs": list(_relabelled(spec, endpoint)),
    }
    if tls := endpoint.get("tlsConfig"):
        job["tls_config"] = {"ca_file": str(_root(cluster, folder, metadata["namespace"], tls["ca"]["secret"]))}
        job["tls_config"]["server_name"] = tls["serverName"]
    return job


def _relabelled(spec: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for label, value in spec["selector"].get("matchLabels", {}).items():
        meta = "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", label)
        yield {"action": "keep", "source_labels": [meta], "regex": re.escape(value)}
    yield {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": endpoint["port"]}
    # A pod that has ended keeps its address in the API for a while.
    yield {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"}
    for label in ("namespace", "pod_name"):
        yield {"source_labels": [f"__meta_kubernetes_{label}"], "target_label": label.removesuffix("_name")}


def _root(cluster: Own, folder: Path, namespace: str, named: Mapping[str, str]) -> Path:
    data = cluster.get("secret", named["name"], "-n", namespace)["data"][named["key"]]
    path = folder / f"{named['name']}-{named['key']}"
    path.write_bytes(base64.b64decode(data))
    return path
