"""How the parts of a node are configured: containerd, kubelet, kube-proxy, CoreDNS, and the two of the control plane beside them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.control_plane import Credentials

ADDRESS = "10.88.0.1"
"""The node's, on the bridge of its pods."""
BRIDGE = "cni0"
PODS = "10.88.0.0/16"
NODE = "node1"
PAUSE = "docker.io/wfb-tests/pause:1"
"""Its name has a registry's host, because containerd completes a name without one."""
PORT = 6443


@dataclass(frozen=True)
class Layout:
    """Where a cluster's files are, and the name of its cgroup."""

    folder: Path
    cgroup: str

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.folder / "containerd" / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """What persistent volumes of pods are made of."""
        return self.folder / "volumes"


def containerd(at: Layout) -> str:
    """Its configuration, in the format that 1.6 and later read."""
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower it and dies with "can't get final child's PID".
    return f"""version = 2
root = "{at.folder}/containerd/root"
state = "{at.folder}/containerd/state"
[grpc]
address = "{at.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{at.folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
"""


def network(at: Layout) -> str:
    """The pods' bridge; addresses are remembered in the cluster's own folder, so that two clusters do not share them."""
    ranges = {"type": "host-local", "dataDir": str(at.folder / "addresses"), "ranges": [[{"subnet": PODS}]]}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": True, "hairpinMode": True}
    plugins = [
        {**bridge, "ipam": {**ranges, "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins})


def kubelet(at: Layout, given: Credentials) -> str:
    """Its configuration: JSON, which is YAML."""
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(given.authority.root)},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{at.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{at.socket}",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "enforceNodeAllocatable": [],
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": str(at.folder / "pod-logs"),
        "volumePluginDir": str(at.folder / "volume-plugins"),
        "syncFrequency": "5s",
    }
    return json.dumps(document, indent=1)


def proxy(kubeconfig: Path) -> str:
    """kube-proxy's configuration."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0},
        "hostnameOverride": NODE,
    }
    return json.dumps(document, indent=1)


def corefile(given: Credentials) -> str:
    """CoreDNS on the node's address: Services and pods. Nothing is asked of the outside."""
    return f""".:53 {{
  bind {ADDRESS}
  errors
  kubernetes cluster.local {{
    endpoint https://127.0.0.1:{PORT}
    tls {given.admin.certificate} {given.admin.key} {given.authority.root}
  }}
}}
"""
