"""The chart's PodMonitors as scrapes of Prometheus, with the pods that they choose now.

Debian's Prometheus is built without Kubernetes' service discovery, so what the Prometheus operator would have it find is asked
of the API here.
"""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster import install
from cluster.api import Api


def scrapes(cluster: Api, folder: Path) -> list[dict[str, Any]]:
    """A scrape_config for each endpoint of the chart's PodMonitors; `folder` takes the files that they name."""
    monitors = ("-s", "templates/podmonitor.yaml", "--set", "podMonitor.enabled=true")
    text = install.helm(cluster, "template", "wfb", str(install.CHART), *monitors)
    pods = cluster.get("pods", "-A")["items"]
    return [
        _scrape(cluster, folder, monitor, endpoint, pods)
        for monitor in yaml.safe_load_all(text)
        if monitor
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
    ]


def _scrape(
    cluster: Api, folder: Path, monitor: Mapping[str, Any], endpoint: Mapping[str, Any], pods: list[dict[str, Any]]
) -> dict[str, Any]:
    metadata = monitor["metadata"]
    job: dict[str, Any] = {
        "job_name": metadata["name"],
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "scheme": endpoint.get("scheme", "http"),
        "static_configs": [
            target for pod in pods if _chosen(monitor, pod) for target in _targets(pod, endpoint["port"])
        ],
    }
    if tls := endpoint.get("tlsConfig"):
        job["tls_config"] = {"ca_file": str(_root(cluster, folder, metadata["namespace"], tls["ca"]["secret"]))}
        job["tls_config"]["server_name"] = tls["serverName"]
    return job


def _chosen(monitor: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    spec, metadata = monitor["spec"], pod["metadata"]
    anywhere = spec.get("namespaceSelector", {}).get("any", False)
    asked, has = spec["selector"].get("matchLabels", {}), metadata.get("labels", {})
    return (anywhere or metadata["namespace"] == monitor["metadata"]["namespace"]) and asked.items() <= has.items()


def _targets(pod: Mapping[str, Any], port: str) -> Iterator[dict[str, Any]]:
    if pod["status"]["phase"] != "Running" or "deletionTimestamp" in pod["metadata"]:
        return
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        for one in container.get("ports", ()):
            if one.get("name") == port:
                labels = {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
                yield {"targets": [f"{pod['status']['podIP']}:{one['containerPort']}"], "labels": labels}


def _root(cluster: Api, folder: Path, namespace: str, named: Mapping[str, str]) -> Path:
    data = cluster.get("secret", named["name"], "-n", namespace)["data"][named["key"]]
    path = folder / f"{named['name']}-{named['key']}"
    path.write_bytes(base64.b64decode(data))
    return path
