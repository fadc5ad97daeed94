"""A whole cluster as plain processes: etcd, API server, controllers, scheduler, containerd, kubelet, kube-proxy, CoreDNS.

Needs Linux, root and the Debian packages of scripts/cluster-packages.sh. Everything is in a network, mounts and a cgroup of its
own; the API server is reached through a door on the loopback, so the kubeconfig works from anywhere on this machine.
"""

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster import apart, binaries, control_plane, kubeconfig, parts
from cluster.api import Api
from cluster.certificates import Authority
from cluster.processes import Processes, alive, born
from cluster.refusals import NotHereError

PROGRAMS = (
    *binaries.API_SERVER,
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "helm",
)
_SYSTEM = ("containerd", "runc", "ctr", "iptables", "ip", "nsenter", "unshare", "conntrack", "mount")
_PREFIX = "wfb-cluster-"


@dataclass
class Own(Api):
    """A cluster that this project started."""

    layout: parts.Layout = field(kw_only=True)
    processes: Processes = field(kw_only=True)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """A command line that runs in the cluster's network and mounts, where pods and Services have their addresses."""
        return [*apart.way_in(self.processes), *argv]

    def door(self, name: str, port: int) -> int:
        """A port of the loopback here that leads to a port of the loopback in the cluster's network."""
        held = self.processes.started()[apart.HOLDER]
        outside = replace(self.processes, prefix=())
        with socket.create_server(("127.0.0.1", 0)) as listening:
            command = [sys.executable, str(Path(__file__).with_name("door.py")), str(listening.fileno())]
            outside.start(name, [*command, str(held), str(port)], keep=[listening.fileno()])
            return int(listening.getsockname()[1])

    def load(self, archives: Iterable[Path]) -> None:
        """Makes images known to the node, from docker-archives."""
        for archive in archives:
            command = ["ctr", "-a", str(self.layout.socket), "-n", "k8s.io", "images", "import", str(archive)]
            self.run(self.inside(command), timeout=300)

    def close(self) -> None:
        """Ends every process of it and removes its folder."""
        apart.end(self.processes, self.layout.cgroup)
        for attempt in (1, 2):
            shutil.rmtree(self.layout.folder, ignore_errors=attempt == 1)
            if not self.layout.folder.exists():
                return


def missing() -> str:
    """Why this machine cannot have one; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a cluster of plain processes needs Linux and root"
    if absent := [name for name in _SYSTEM if shutil.which(name) is None]:
        return f"{', '.join(absent)} not installed: run scripts/cluster-packages.sh"
    if not Path("/usr/lib/cni/bridge").exists():
        return "containernetworking-plugins is not installed: run scripts/cluster-packages.sh"
    return ""


def start(folder: Path | None = None, tell: binaries.Tell = binaries.quietly) -> Own:
    """A cluster whose node is ready; raises NotHereError, or NotReadyError with the log of the part that failed.

    Without a folder it gets one that the next start removes if this process ends without closing it.
    """
    if why := missing():
        raise NotHereError(why)
    programs = binaries.find_or_build(PROGRAMS, tell)
    if folder and folder.exists():
        shutil.rmtree(folder)
    if folder is None:
        sweep()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (folder / "owner").write_text(f"{os.getpid()} {born(os.getpid())}")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    layout = parts.Layout(folder, f"{_PREFIX}{os.getpid()}-{folder.name[-6:]}")
    (folder / "cgroup").write_text(layout.cgroup)
    processes = Processes(folder)
    try:
        return _started(layout, processes, programs)
    except BaseException:
        apart.end(processes, layout.cgroup)
        raise


def attach(folder: Path) -> Own | None:
    """The cluster that runs in a folder, or None."""
    processes = Processes(folder)
    if not (folder / "admin.kubeconfig").exists() or apart.HOLDER not in processes.started():
        return None
    processes.prefix = apart.way_in(processes)
    layout = parts.Layout(folder, (folder / "cgroup").read_text())
    own = folder / "admin.kubeconfig"
    return Own(
        own, folder, binaries.find("kubectl"), authority=Authority(folder / "pki"), layout=layout, processes=processes
    )


def sweep() -> None:
    """Ends clusters whose owner died without ending them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            pid, birth = map(int, (folder / "owner").read_text().split())
            if not (alive(pid) and born(pid) == birth):
                apart.end(Processes(folder), (folder / "cgroup").read_text())
                shutil.rmtree(folder, ignore_errors=True)


def _started(layout: parts.Layout, processes: Processes, programs: dict[str, Path]) -> Own:
    folder = layout.folder
    apart.make_cgroup(layout.cgroup)
    processes.prefix = ()
    way = apart.hold(processes)
    given = control_plane.Credentials.make(folder / "pki", parts.ADDRESS)
    own = Own(
        folder / "admin.kubeconfig",
        folder,
        programs["kubectl"],
        authority=given.authority,
        layout=layout,
        processes=processes,
    )
    url = f"https://127.0.0.1:{own.door('door', parts.PORT)}"
    kubeconfig.write(own.kubeconfig, url, given.authority.root, given.admin)
    processes.prefix = way
    _bridge(own)
    _control_plane(own, given, programs)
    _node(own, given, programs)
    return own


def _bridge(own: Own) -> None:
    # It exists before anything advertises its address.
    for command in (
        f"ip link add {parts.BRIDGE} type bridge",
        f"ip addr add {parts.ADDRESS}/16 dev {parts.BRIDGE}",
        f"ip link set {parts.BRIDGE} up",
        "sysctl -qw net.ipv4.ip_forward=1",
    ):
        own.run(own.inside(command.split()))


def _control_plane(own: Own, given: control_plane.Credentials, programs: dict[str, Path]) -> None:
    processes, folder = own.processes, own.layout.folder
    processes.start("etcd", control_plane.etcd(programs["etcd"], folder / "etcd", 2379, 2380))
    extra = (
        f"--advertise-address={parts.ADDRESS}",
        "--kubelet-preferred-address-types=InternalIP",  # else `kubectl logs` asks DNS for the node's name
        f"--kubelet-client-certificate={given.admin.certificate}",
        f"--kubelet-client-key={given.admin.key}",
        "--enable-admission-plugins=NodeRestriction",
    )
    command = control_plane.api_server(programs["kube-apiserver"], given, 2379, parts.PORT, extra)
    processes.start("kube-apiserver", command)
    processes.wait("kube-apiserver", own.answers, 90)
    managers = _user(own, given, "kube-controller-manager", "system:kube-controller-manager")
    processes.start(
        "kube-controller-manager",
        [
            str(programs["kube-controller-manager"]),
            f"--kubeconfig={managers}",
            f"--authentication-kubeconfig={managers}",
            f"--authorization-kubeconfig={managers}",
            f"--service-account-private-key-file={given.tokens.key}",
            f"--root-ca-file={given.authority.root}",
            "--use-service-account-credentials=true",
            # When the API server was away, the only node has only been unable to say that it is well.
            "--node-monitor-grace-period=10m",
            "--leader-elect=false",
        ],
    )
    scheduler = _user(own, given, "kube-scheduler", "system:kube-scheduler")
    processes.start(
        "kube-scheduler", [str(programs["kube-scheduler"]), f"--kubeconfig={scheduler}", "--leader-elect=false"]
    )


def _node(own: Own, given: control_plane.Credentials, programs: dict[str, Path]) -> None:
    processes, layout = own.processes, own.layout
    folder = layout.folder
    for name in ("cni", "containerd", "volumes"):
        (folder / name).mkdir()
    (folder / "cni" / "10-bridge.conflist").write_text(parts.network(layout))
    (folder / "containerd" / "config.toml").write_text(parts.containerd(layout))
    (folder / "kubelet.yaml").write_text(parts.kubelet(layout, given))
    (folder / "kube-proxy.yaml").write_text(parts.proxy(_user(own, given, "kube-proxy", "system:kube-proxy")))
    (folder / "Corefile").write_text(parts.corefile(given))
    processes.start("containerd", ["containerd", f"--config={folder}/containerd/config.toml"])
    version = ["ctr", "-a", str(layout.socket), "version"]
    # The kubelet ends at once where the runtime does not answer yet.
    processes.wait("containerd", lambda: own.run(own.inside(version), check=False).returncode == 0)
    node = _user(own, given, "kubelet", f"system:node:{parts.NODE}", ("system:nodes",))
    processes.start(
        "kubelet",
        [
            str(programs["kubelet"]),
            f"--config={folder}/kubelet.yaml",
            f"--kubeconfig={node}",
            f"--hostname-override={parts.NODE}",
            f"--node-ip={parts.ADDRESS}",
            f"--root-dir={folder}/kubelet",
        ],
    )
    processes.start("kube-proxy", [str(programs["kube-proxy"]), f"--config={folder}/kube-proxy.yaml"])
    processes.start("coredns", [str(programs["coredns"]), "-conf", f"{folder}/Corefile"])
    processes.wait("kubelet", lambda: _ready(own), 90)


def _ready(own: Own) -> bool:
    got = own.try_kubectl("get", "node", parts.NODE, "-o", "json")
    if got.returncode:
        return False
    conditions = json.loads(got.stdout)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _user(own: Own, given: control_plane.Credentials, file: str, name: str, groups: Sequence[str] = ()) -> Path:
    pair = given.authority.sign(file, name, groups)
    server = f"https://127.0.0.1:{parts.PORT}"
    return kubeconfig.write(own.layout.folder / f"{file}.kubeconfig", server, given.authority.root, pair)
