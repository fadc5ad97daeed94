"""The programs of a cluster, built from pinned Go modules, once.

Each folder below ``modules/`` is a Go module of its own, because their dependencies conflict; its ``go.mod`` and ``go.sum``
pin every source by hash. What is built is kept outside the checkout, under a key of both files, so an unchanged pin costs
nothing. ``WFB_CLUSTER_BIN`` names a folder of ready programs that is used instead.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.refusals import NotHereError

HERE = Path(__file__).resolve().parent
MODULES = HERE / "modules"

Tell = Callable[[str], None]
"""Where a line for the person who waits goes."""


def quietly(line: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Program:
    """A program, the folder of its module below ``modules/``, and its package."""

    module: str
    package: str
    seconds: int
    """About how long its first build takes on two cores, for the person who waits."""


PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3", 40),
    "kube-apiserver": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 240),
    "kubectl": Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl", 30),
    "kube-controller-manager": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", 60),
    "kube-scheduler": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", 30),
    "kubelet": Program("kubernetes", "k8s.io/kubernetes/cmd/kubelet", 60),
    "kube-proxy": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", 20),
    "coredns": Program("coredns", "github.com/coredns/coredns", 150),
    "helm": Program("helm", "helm.sh/helm/v4/cmd/helm", 90),
    "cert-manager": Program("cert-manager", "github.com/cert-manager/cert-manager/cmd/controller", 120),
    "cainjector": Program("cert-manager", "github.com/cert-manager/cert-manager/cmd/cainjector", 20),
}
API_SERVER = ("etcd", "kube-apiserver", "kubectl")
"""What the API server alone takes."""


def cache() -> Path:
    """Where what is built is kept: outside the checkout, shared by all checkouts of one user."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "wfb" / "cluster"


def kubernetes_version(module: Path = MODULES / "kubernetes") -> str:
    """The pinned version, such as v1.34.4."""
    found = re.search(r"^(?:require)?\s*k8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{module / 'go.mod'} requires no k8s.io/kubernetes")
    return found[1]


def linker_flags(module: str) -> str:
    """What the linker is told: without its version every part of Kubernetes reports v0.0.0, and the node does too."""
    if module != "kubernetes":
        return "-s -w"
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    where = "k8s.io/component-base/version"
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {where}.{name}={value}" for name, value in stamps.items())


def key(module: str, modules: Path = MODULES) -> str:
    """SHA-256 of what a module's programs are made of: its pins and what the linker is told."""
    digest = hashlib.sha256()
    for file in ("go.mod", "go.sum"):
        digest.update((modules / module / file).read_bytes())
    digest.update(linker_flags(module).encode())
    return digest.hexdigest()


def find(name: str) -> Path | None:
    """A program that is there already, or None."""
    given = os.environ.get("WFB_CLUSTER_BIN")
    if given and os.access(Path(given) / name, os.X_OK):
        return Path(given) / name
    path = cache() / key(PROGRAMS[name].module) / name
    return path if path.exists() else None


def find_or_build(names: Sequence[str], tell: Tell = quietly) -> dict[str, Path]:
    """The programs by name, those missing built one after the other; raises NotHereError where that cannot be."""
    found: dict[str, Path] = {}
    for name in names:
        found[name] = find(name) or _build(name, tell)
    return found


def _build(name: str, tell: Tell) -> Path:
    program = PROGRAMS[name]
    go = shutil.which("go")
    if not go:
        raise NotHereError(f"{name} is not built yet and Go is not installed: install Go, or set WFB_CLUSTER_BIN")
    folder = cache() / key(program.module)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs build a program once
        if path := find(name):
            return path
        tell(f"building {name} (the first time only; about {program.seconds} s on two cores)")
        began = time.monotonic()
        unfinished = folder / f".{name}.unfinished"
        command = [go, "build", "-trimpath", "-ldflags", linker_flags(program.module), "-o", str(unfinished)]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        done = subprocess.run(
            [*command, program.package],
            cwd=MODULES / program.module,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotHereError(f"{name} could not be built: {done.stderr.strip()[-2000:]}")
        unfinished.replace(folder / name)
        tell(f"built {name} in {time.monotonic() - began:.0f} s")
    return folder / name
