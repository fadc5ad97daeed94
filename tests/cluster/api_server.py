"""etcd and kube-apiserver alone, on free ports of the loopback: enough for kinds, RBAC, policies and webhooks.

No root, no namespaces and no containers. Nothing reconciles here: no ServiceAccount ``default`` appears, a deleted
namespace stays ``Terminating``, a Deployment makes no pods.
"""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster import binaries, control_plane, kubeconfig
from cluster.api import Api
from cluster.processes import Processes
from cluster.refusals import NotReadyError

_TRIES = 3


@contextlib.contextmanager
def running(tell: binaries.Tell = binaries.quietly) -> Iterator[Api]:
    """An API server for as long as the block lasts; raises NotHereError where its programs cannot be had."""
    programs = binaries.find_or_build(binaries.API_SERVER, tell)
    folder = Path(tempfile.mkdtemp(prefix="wfb-api-server-"))
    processes = Processes(folder)
    try:
        yield _started(folder, processes, programs)
    finally:
        processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, processes: Processes, programs: dict[str, Path]) -> Api:
    given = control_plane.Credentials.make(folder / "pki")
    for attempt in range(1, _TRIES + 1):
        client_port, peer_port, port = free_ports(3)
        data = folder / f"etcd-{attempt}"
        processes.start("etcd", control_plane.etcd(programs["etcd"], data, client_port, peer_port))
        alone = (
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # nobody would reach the Service `kubernetes`
            "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts that it asks for
            "--enable-aggregator-routing=false",  # no Endpoints either: a Service of type ExternalName leads to the loopback
        )
        command = control_plane.api_server(programs["kube-apiserver"], given, client_port, port, alone)
        processes.start("kube-apiserver", command)
        path = folder / "admin.kubeconfig"
        kubeconfig.write(path, f"https://127.0.0.1:{port}", given.authority.root, given.admin)
        api = Api(path, folder, programs["kubectl"], authority=given.authority)
        try:
            processes.wait("kube-apiserver", api.answers)
        except NotReadyError:
            # Between choosing a port and listening on it another program can take it: then other ports will do.
            taken = "address already in use" in processes.said("etcd") + processes.said("kube-apiserver")
            processes.stop_all()
            if not taken or attempt == _TRIES:
                raise
            continue
        return api
    raise AssertionError("unreachable")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, each another."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
