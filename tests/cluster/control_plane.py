"""How etcd and the API server are started: one list of flags for the whole cluster and for the API server alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.certificates import Authority, Pair

SERVICES = "10.96.0.0/16"
ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "10.96.0.1",
    "127.0.0.1",
)


@dataclass(frozen=True)
class Credentials:
    """What the API server serves with, signs with and trusts."""

    authority: Authority
    server: Pair
    tokens: Pair
    admin: Pair
    front_proxy: Pair

    @classmethod
    def make(cls, folder: Path, *addresses: str) -> "Credentials":
        """New ones; `addresses` are further names of the server."""
        authority = Authority.make(folder)
        return cls(
            authority,
            server=authority.sign("apiserver", "kube-apiserver", names=(*SERVER_NAMES, *addresses)),
            tokens=authority.signing_key("tokens"),
            admin=authority.sign("admin", "admin", ("system:masters",)),
            front_proxy=authority.sign("front-proxy", "front-proxy"),
        )


def etcd(program: Path, data: Path, client_port: int, peer_port: int) -> list[str]:
    """The store. It need not survive a crash of the machine."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(program),
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def api_server(program: Path, given: Credentials, etcd_port: int, port: int, extra: Sequence[str] = ()) -> list[str]:
    """The API server with RBAC, projected tokens, admission policies and aggregation; no audit log."""
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        f"--client-ca-file={given.authority.root}",
        f"--tls-cert-file={given.server.certificate}",
        f"--tls-private-key-file={given.server.key}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={given.tokens.certificate}",
        f"--service-account-signing-key-file={given.tokens.key}",
        "--allow-privileged=true",
        # An aggregated API learns from these who asks: the API server says so with its own front-proxy certificate.
        f"--requestheader-client-ca-file={given.authority.root}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={given.front_proxy.certificate}",
        f"--proxy-client-key-file={given.front_proxy.key}",
        "--enable-aggregator-routing=true",
        *extra,
    ]
