"""The command that ``wfb run`` is for: it keeps the terminal, gets the signals, and gives the exit code.

The command stays in our process group. So a terminal's Ctrl-C and Ctrl-Z reach it directly, and Ctrl-Z stops
both of us as one job of the shell; what is sent to us alone is passed on.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell for a command that does not exist, and for one that cannot be run."""

FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""Signals that a terminal sends to its whole foreground group, the command among it."""

FORWARDED = (*FROM_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class CommandError(Exception):
    """The command cannot be run; ``code`` is what a shell would exit with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def check_command(command: Sequence[str], path: str | None) -> None:
    """Raises CommandError where a shell would not find the program, or not run it; ``path`` is the search path."""
    program = command[0]
    if shutil.which(program, path=path):
        return
    if "/" not in program:
        raise CommandError(f"{program}: command not found (it is in no folder of PATH)", NOT_FOUND)
    if not os.path.exists(program):
        raise CommandError(f"{program}: no such file", NOT_FOUND)
    if os.path.isdir(program):
        raise CommandError(f"{program}: is a directory, not a program", NOT_EXECUTABLE)
    raise CommandError(f"{program}: permission denied; make it executable with: chmod +x {program}", NOT_EXECUTABLE)


def run_command(
    command: Sequence[str],
    env: Mapping[str, str],
    tick: Callable[[], None],
    every: float = 0.3,
    started: Callable[[], None] = lambda: None,
) -> int:
    """Runs the command with our standard streams to its end; 128 + n for a command that signal n ended.

    ``tick`` is called every so many seconds meanwhile. Raises CommandError where the system does not run the program.
    """
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if number in FROM_TERMINAL and _in_foreground():
            return
        if running:
            running[0].send_signal(number)
        else:
            early.append(number)

    with _handlers(forward), _wakeups() as wakeup:
        try:
            # exec gives caught signals their default action back, so the command starts as if from a shell.
            running.append(subprocess.Popen(command, env=env))
        except OSError as error:
            raise CommandError(f"{command[0]}: {error.strerror}", NOT_EXECUTABLE) from error
        for number in early:
            running[0].send_signal(number)
        started()
        while (status := running[0].poll()) is None:
            if select.select([wakeup], [], [], every)[0]:
                os.read(wakeup, 4096)
            if running[0].poll() is None:
                tick()
    return status if status >= 0 else 128 - status


def _in_foreground() -> bool:
    """Whether we are in the foreground group of our terminal, to which it sends its own signals."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _handlers(forward: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Takes the signals that are passed on, and SIGCHLD so that it wakes the wait, and gives them back.

    A signal that our own caller has us ignore, as nohup does with SIGHUP, stays ignored, for the command as well.
    """
    before = {number: signal.getsignal(number) for number in (*FORWARDED, signal.SIGCHLD)}
    for number in FORWARDED:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, forward)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _wakeups() -> Iterator[int]:
    """A descriptor that becomes readable with every signal, so that no end of the command is waited past."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
