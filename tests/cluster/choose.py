"""Which cluster the tests get: one that is given, kind where Docker answers, or plain processes of our own."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster import binaries, images, own
from cluster.api import Api
from cluster.refusals import NotHereError

GIVEN = "WFB_TEST_KUBECONFIG"
LOAD = "WFB_TEST_LOAD"
"""A command that makes a docker-archive known to the given cluster's nodes, such as ``k3d image import``."""


@dataclass
class Elsewhere(Api):
    """A cluster that this process did not start by hand: given, or kind's."""

    loading: list[str] = field(default_factory=list, kw_only=True)

    def load(self, archives: Iterable[Path]) -> None:
        """Runs the loading command for each."""
        for archive in archives:
            self.run([*self.loading, str(archive)], timeout=600)


@contextlib.contextmanager
def running(tell: binaries.Tell = binaries.quietly) -> Iterator["Elsewhere | own.Own"]:
    """A cluster with the images of `images.archives`, for as long as the block lasts; raises NotHereError."""
    with contextlib.ExitStack() as ends:
        cluster = ends.enter_context(_given() if os.environ.get(GIVEN) else _kind() if _docker() else _own(tell))
        cluster.load(images.archives(tell))
        yield cluster


@contextlib.contextmanager
def _given() -> Iterator["Elsewhere | own.Own"]:
    path = Path(os.environ[GIVEN])
    if not path.exists():
        raise NotHereError(f"{GIVEN} names {path}, which is not there: give the path of a kubeconfig")
    if ours := own.attach(path.parent):
        yield ours
        return
    command = os.environ.get(LOAD, "")
    if not command:
        raise NotHereError(f"{GIVEN} is set and {LOAD} is not: give the command that loads an image archive into it")
    with tempfile.TemporaryDirectory(prefix="wfb-given-") as folder:
        yield Elsewhere(path, Path(folder), loading=shlex.split(command))


def _docker() -> bool:
    if not (shutil.which("docker") and shutil.which("kind")):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0


@contextlib.contextmanager
def _kind() -> Iterator[Elsewhere]:
    name = f"wfb-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="wfb-kind-") as folder:
        path = Path(folder) / "kubeconfig"
        create = ["kind", "create", "cluster", "--name", name, "--kubeconfig", str(path), "--wait", "120s"]
        made = subprocess.run(create, capture_output=True, text=True, check=False, timeout=600)
        try:
            if made.returncode:
                raise NotHereError(f"kind made no cluster: {made.stderr[-1000:]}")
            yield Elsewhere(path, Path(folder), loading=["kind", "load", "image-archive", "--name", name])
        finally:
            subprocess.run(["kind", "delete", "cluster", "--name", name], capture_output=True, check=False, timeout=120)


@contextlib.contextmanager
def _own(tell: binaries.Tell) -> Iterator[own.Own]:
    cluster = own.start(tell=tell)
    try:
        yield cluster
    finally:
        cluster.close()
