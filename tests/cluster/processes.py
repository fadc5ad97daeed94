"""Processes by name: each with its log and its process id in a file, ended by that id alone."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.until import until

from cluster.refusals import NotReadyError

_CLEAN = ("PATH", "HOME", "LANG", "TMPDIR")
"""What a part inherits: an environment full of proxies and certificate variables would change how it behaves."""


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def born(pid: int) -> int:
    """When a process started, in clock ticks since boot: with it an id is never taken for that of a later process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return -1


@dataclass
class Processes:
    """The processes of one cluster, below its folder: ``logs/NAME.log`` and ``run/NAME.pid`` (id and birth)."""

    folder: Path
    prefix: tuple[str, ...] = ()
    """What every command begins with: the way into the cluster's namespaces."""
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        """Where the logs are."""
        return self.folder / "logs"

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None, keep: Sequence[int] = ()
    ) -> None:
        """Starts a part in a session of its own; `keep` are descriptors that it inherits."""
        self.logs.mkdir(parents=True, exist_ok=True)
        (self.folder / "run").mkdir(exist_ok=True)
        inherited = {key: os.environ[key] for key in _CLEAN if key in os.environ}
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**inherited, **(env or {})},
                start_new_session=True,
                pass_fds=tuple(keep),
            )
        self.children[name] = child
        (self.folder / "run" / f"{name}.pid").write_text(f"{child.pid} {born(child.pid)}\n")

    def started(self) -> dict[str, int]:
        """The parts whose process still runs, in the order in which they were started."""
        files = sorted((self.folder / "run").glob("*.pid"), key=lambda path: path.stat().st_mtime_ns)
        found = {}
        for path in files:
            pid, birth = map(int, path.read_text().split())
            if alive(pid) and born(pid) == birth:
                found[path.stem] = pid
        return found

    def said(self, name: str, last: int = 2000) -> str:
        """The end of a part's log."""
        try:
            return (self.logs / f"{name}.log").read_text(errors="replace")[-last:]
        except OSError:
            return ""

    def wait(self, name: str, ready: Callable[[], bool], deadline: float = 60.0) -> None:
        """Until a part is ready; raises NotReadyError with its log when it ended, or in vain."""

        def settled() -> str:
            if ready():
                return "ready"
            return "" if name in self.started() else "ended"

        try:
            how = until(settled, name, deadline)
        except AssertionError:
            how = f"not ready within {deadline:g} s"
        if how != "ready":
            raise NotReadyError(f"{name}: {how}; its log ends with\n{self.said(name)}")

    def stop(self, *names: str, grace: float = 5.0) -> None:
        """SIGTERM to each, and SIGKILL to those that still run after `grace` seconds; all of them are gone afterwards."""
        running = self.started()
        pids = {name: running[name] for name in names if name in running}
        for pid in pids.values():
            _signal(pid, signal.SIGTERM)
        for name, pid in pids.items():
            try:
                until(lambda pid=pid: not alive(pid), name, grace)
            except AssertionError:
                _signal(pid, signal.SIGKILL)
                until(lambda pid=pid: not alive(pid), name)
        for name in names:
            (self.folder / "run" / f"{name}.pid").unlink(missing_ok=True)
            if child := self.children.pop(name, None):
                child.wait()

    def stop_all(self) -> None:
        """Ends every part, the last one started first."""
        for name in reversed(self.started()):
            self.stop(name)
        for name in list(self.children):
            self.stop(name)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
