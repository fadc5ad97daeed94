"""One ledger to a directory."""

import fcntl
import os

NAME = "lock"


class InUseError(Exception):
    """Another process has the directory; the message names it."""


class DirectoryLock:
    """Held until ``release`` or until the process ends, however it ends."""

    def __init__(self, directory: str) -> None:
        """Take the lock; raises InUseError, or OSError where the directory cannot be written."""
        path = os.path.join(directory, NAME)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise InUseError(
                f"{directory} is in use by the ledger with pid {pid}: stop it first, or give this one another --state"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._file)
