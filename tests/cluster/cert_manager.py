"""cert-manager beside a cluster: its controller and its CA injector as plain processes, and its kinds.

The last release whose programs are packages of the published Go module; its kinds are those of today (cert-manager.io/v1).
Its webhook is left out: it converts and checks what the chart does not need checked.
"""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster import binaries
from cluster.api import Api
from cluster.processes import Processes

PROGRAMS = ("cert-manager", "cainjector")
MODULE = "github.com/cert-manager/cert-manager"


@contextlib.contextmanager
def running(api: Api, folder: Path) -> Iterator[Processes]:
    """cert-manager at work for as long as the block lasts; its kinds, and what was made of them, go with it."""
    programs = binaries.find_or_build(PROGRAMS)
    kinds = definitions()
    api.apply(kinds)
    api.wait_established(*(kind["metadata"]["name"] for kind in kinds))
    processes = Processes(folder / "cert-manager")
    common = (f"--kubeconfig={api.kubeconfig}", "--leader-elect=false")
    try:
        processes.start(
            "cert-manager", [str(programs["cert-manager"]), *common, "--metrics-listen-address=127.0.0.1:0"]
        )
        processes.start("cainjector", [str(programs["cainjector"]), *common])
        yield processes
    finally:
        processes.stop(*PROGRAMS)
        api.kubectl("delete", "crd", *(kind["metadata"]["name"] for kind in kinds), "--ignore-not-found")


def definitions() -> list[dict[str, Any]]:
    """Its CustomResourceDefinitions, without the labels that its own chart fills in."""
    found = []
    for path in sorted(_sources().glob("crd-*.yaml")):
        kind = yaml.safe_load(path.read_text())
        kind["metadata"].pop("labels", None)
        found.append(kind)
    return found


def _sources() -> Path:
    """The folder of its kinds, kept beside the programs."""
    kept = binaries.cache() / binaries.key("cert-manager") / "crds"
    if not kept.exists():
        told = subprocess.run(
            ["go", "mod", "download", "-json", MODULE],
            cwd=binaries.MODULES / "cert-manager",
            capture_output=True,
            text=True,
            check=True,
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(Path(json.loads(told.stdout)["Dir"]) / "deploy" / "crds", kept, dirs_exist_ok=True)
    return kept
