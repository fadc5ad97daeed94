"""Notices of budgets in files: sent from beside ``wfb run``, by one of the runs that share a state at a time."""

import asyncio
import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wfb_core.budget import Budget
from wfb_operator.cli.state import Ledger, LedgerError
from wfb_operator.notify.courier import Courier, SecretUnreadError, Trouble
from wfb_operator.notify.egress import Egress

LOOP_SECONDS = 1.0
LAST_SECONDS = 5.0
"""How long the end of a run waits for notices on their way; what is left is sent by the next run on this state."""


@dataclass(slots=True)
class Notices:
    """A thread that sends; started only where a budget tells somebody."""

    ledger: Callable[[], Ledger | None]
    """The one that is running now: its address and token are taken, a connection of our own is made."""
    lock_path: str
    """Whoever has locked it sends."""
    secrets_dir: str | None
    """A folder with a file ``NAME/KEY`` for each key of a Secret, as Kubernetes mounts them."""
    budgets: Callable[[], Mapping[str, Budget]]
    """By key, as the files stand now."""
    say: Callable[[str], None]
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="notices", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends what is due, for a little while, and ends."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    async def _run(self) -> None:
        fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        courier = Courier(self._secret, self._mark, self._tell, Egress(own_machine=True), time.time)
        try:
            last = False
            while not last:
                last = await asyncio.to_thread(self._stopping.wait, LOOP_SECONDS)
                # Another run that sends, or a ledger that is away: this is looked at again.
                with contextlib.suppress(BlockingIOError, LedgerError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    await self._once(courier)
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    async def _once(self, courier: Courier) -> None:
        budgets = self.budgets()
        notices = (await self._asked(lambda ledger: ledger.get("/v1/notices")) or {"notices": []})["notices"]
        await courier.round([notice for notice in notices if notice["budget"] in budgets], budgets)

    async def _mark(self, window: str, at_percent: int, delivered: list[str], done: bool) -> None:
        body = {"window": window, "at_percent": at_percent, "delivered": delivered, "done": done}
        await self._asked(lambda ledger: ledger.post("/v1/notices", body))

    async def _asked(self, question: Callable[[Ledger], Any]) -> Any:
        running = self.ledger()
        if running is None:
            return None
        own = Ledger(running.url, running.token)
        try:
            return await asyncio.to_thread(question, own)
        finally:
            own.close()

    async def _secret(self, _: Budget, name: str) -> Mapping[str, bytes]:
        if self.secrets_dir is None:
            raise SecretUnreadError(f"Secret {name} is not known here: give --secrets DIR with a file {name}/KEY")
        try:
            return await asyncio.to_thread(_read_folder, os.path.join(self.secrets_dir, name))
        except OSError as error:
            raise SecretUnreadError(f"Secret {name} cannot be read in {self.secrets_dir}: {error.strerror}") from error

    async def _tell(self, trouble: Trouble) -> None:
        self.say(f"{trouble.budget}: {trouble.message}")


def _read_folder(folder: str) -> dict[str, bytes]:
    """The files of a folder by name; raises OSError."""
    found = {}
    for key in os.listdir(folder):
        if os.path.isfile(path := os.path.join(folder, key)):
            with open(path, "rb") as file:
                found[key] = file.read()
    return found
