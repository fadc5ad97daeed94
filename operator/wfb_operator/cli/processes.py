"""The ledger and the sidecar as processes: started beside the command, ready when they say so, stopped by their id.

Each runs in a session of its own, so that a terminal's Ctrl-C reaches the command alone, and writes its log to a file.
When ready, it prints one line of JSON on its standard output.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

READY_SECONDS = 10.0
"""How long a process may take to say that it is ready."""

SIDECAR_MODULE = "wfb_sidecar.main"
"""Named, never imported: the command line and the sidecar share no process."""

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


class StartError(Exception):
    """A process did not become ready; ``code`` is what ``wfb`` exits with."""

    def __init__(self, message: str, code: int = 125) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Service:
    """One started process."""

    name: str
    process: subprocess.Popen[bytes]
    log: str
    """Path of the file that takes its standard error."""
    log_start: int
    """Where in that file this process began to write."""

    def ready(self, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The line by which the process says that it is ready.

        Raises StartError with the end of its log where it stops, says something else, or takes too long; it has then
        been stopped. Exit status 2, by which a process says that what it was given is wrong, is passed on.
        """
        deadline, read = time.monotonic() + seconds, b""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        while b"\n" not in read:
            rest = deadline - time.monotonic()
            if rest <= 0 or not select.select([fd], [], [], rest)[0]:
                self.stop(0)
                raise StartError(f"{self.name} was not ready within {seconds:g} seconds{self.tail()}")
            chunk = os.read(fd, 65536)
            if not chunk:
                status = self.process.wait()
                tail = self.tail()
                if status == 2 and tail:
                    raise StartError(f"{self.name} did not start{tail}", 2)
                raise StartError(f"{self.name} stopped with status {status} before it was ready{tail}")
            read += chunk
        self.process.stdout.close()
        try:
            line = json.loads(read.partition(b"\n")[0])
        except ValueError:
            line = None
        if not isinstance(line, dict):
            self.stop(0)
            raise StartError(f"{self.name} said {read[:200]!r} where its addresses were expected{self.tail()}")
        return line

    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    def stop(self, grace: float) -> bool:
        """Ends the process: SIGTERM, and SIGKILL after ``grace`` seconds; whether it ended by itself."""
        if self.running() and grace > 0:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        gentle = not self.running()
        if not gentle:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return gentle

    def tail(self) -> str:
        """The end of what this process wrote to its log, to be put behind a sentence."""
        with open(self.log, "rb") as f:
            f.seek(max(self.log_start, os.path.getsize(self.log) - 4000))
            lines = f.read().decode(errors="replace").strip().splitlines()[-12:]
        if not lines:
            return ""
        return f": {lines[0]}" if len(lines) == 1 else ":\n  " + "\n  ".join(lines)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def start_sidecar(log: str) -> tuple[Service, int]:
    """Starts a sidecar that waits for its configuration: (process, descriptor for ``configure``).

    It loads while the ledger does. The configuration comes through a pipe, so it never lies on a disk. Raises StartError.
    """
    read, write = os.pipe()
    try:
        command = module_command(SIDECAR_MODULE, "--config", f"/dev/fd/{read}")
        return start("the sidecar", command, log, pass_fds=(read,), bound=True), write
    except BaseException:
        os.close(write)
        raise
    finally:
        os.close(read)


def configure(write: int, config: Mapping[str, Any]) -> None:
    """Gives a waiting sidecar its configuration; that it has died by then is left for ``ready`` to tell."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(write, "wb") as pipe:
        pipe.write(json.dumps(config).encode())


def start(
    name: str,
    command: list[str],
    log: str,
    *,
    pass_fds: tuple[int, ...] = (),
    bound: bool = False,
    env: Mapping[str, str] | None = None,
) -> Service:
    """Starts a process in a session of its own; ``bound`` ends it when the calling process dies (Linux).

    Raises StartError where it cannot be started at all.
    """
    with open(log, "ab") as err:
        begin = err.tell()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                start_new_session=True,
                pass_fds=pass_fds,
                env=env,
                preexec_fn=_end_with_parent() if bound else None,  # noqa: PLW1509 — this process has one thread
            )
        except OSError as error:
            raise StartError(f"{name} could not be started: {error}") from error
    return Service(name, process, log, begin)


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does between fork and exec so that the kernel ends it with its parent; None outside Linux."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end us as Ctrl-C does, by an exception: everything that was started is stopped on the way."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Signals that end us wait until this is through, so that nothing started in it is lost from sight."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda n, _: came.append(n))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def is_alive(pid: int) -> bool:
    """Whether a process that is perhaps not our child exists; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True


def stop_other(pid: int, grace: float) -> bool:
    """Ends a process that another ``wfb`` started: SIGTERM, then SIGKILL; whether it ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while is_alive(pid):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.02)
    return True
