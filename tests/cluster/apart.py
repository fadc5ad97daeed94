"""A network, mounts and a cgroup of a cluster's own, and how everything in them is ended."""

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

from harness.until import until

from cluster.processes import Processes, alive

CGROUPS = Path("/sys/fs/cgroup")
HOLDER = "holder"
_OWN_FOLDERS = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/log/containers")
"""Where containerd, CNI plugins and the kubelet write whatever they are told: each cluster sees folders of its own there."""


def hold(processes: Processes) -> tuple[str, ...]:
    """Starts the process that keeps the namespaces, and gives the words before a command that is to run in them."""
    lines = []
    for target in _OWN_FOLDERS:
        own = processes.folder / "own" / target.strip("/").replace("/", "-")
        own.mkdir(parents=True, exist_ok=True)
        lines.append(f"mkdir -p {target} && mount --bind {shlex.quote(str(own))} {target}")
    ready = processes.folder / "held"
    ready.unlink(missing_ok=True)
    lines += ["ip link set lo up", f"touch {shlex.quote(str(ready))}", "exec sleep infinity"]
    processes.start(HOLDER, ["unshare", "--net", "--mount", "--propagation=private", "sh", "-ec", "\n".join(lines)])
    processes.wait(HOLDER, ready.exists)
    return way_in(processes)


def way_in(processes: Processes) -> tuple[str, ...]:
    """The words before a command that is to run in the namespaces."""
    pid = processes.started()[HOLDER]
    return ("nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", "--wd=/", "--")


def hierarchies() -> list[Path]:
    """Where cgroups are made: one folder with cgroups v2, one per controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def make_cgroup(name: str) -> None:
    """The kubelet wants its root in every hierarchy."""
    for hierarchy in hierarchies():
        own = hierarchy / name
        with contextlib.suppress(OSError):
            own.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty ones of v1 take no process
            if hierarchy.name == "cpuset" and (own / file).exists():
                (own / file).write_text((hierarchy / file).read_text())
    controllers = CGROUPS / "cgroup.controllers"
    if controllers.exists():
        for parent in (CGROUPS, CGROUPS / name):
            for controller in controllers.read_text().split():
                with contextlib.suppress(OSError):  # a controller that somebody else holds is not needed
                    (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def members(holder: int, cgroup: str) -> set[int]:
    """The processes in a cgroup and in the mounts of `holder`, itself not among them."""
    found = set(_in_cgroup(cgroup))
    with contextlib.suppress(OSError):
        own = os.readlink(f"/proc/{holder}/ns/mnt")
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if os.readlink(entry / "ns" / "mnt") == own:
                    found.add(int(entry.name))
    return found - {holder}


def end(processes: Processes, cgroup: str) -> None:
    """Ends the parts, then whatever they left: shims and containers; the cgroup goes with them."""
    running = processes.started()
    holder = running.pop(HOLDER, 0)
    processes.stop(*reversed(running))
    left = members(holder, cgroup)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in left), "containers gone", 20)
    processes.stop(HOLDER)
    for hierarchy in hierarchies():
        for path in sorted((hierarchy / cgroup).rglob("*"), reverse=True):
            if path.is_dir():
                _remove(path)
        _remove(hierarchy / cgroup)


def _remove(cgroup: Path) -> None:
    with contextlib.suppress(OSError):
        cgroup.rmdir()


def _in_cgroup(name: str) -> Iterator[int]:
    for hierarchy in hierarchies():
        for file in (hierarchy / name).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from map(int, file.read_text().split())
