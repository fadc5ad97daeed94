"""The state folder that all runs of a user share, so that a daily budget counts them together.

::

    ledger/         the ledger's own folder
    ledger.log      what it wrote to its standard error
    endpoint.json   where the ledger that is running now answers, and its process id
    admin-token     what it takes from its controller
    turn.lock       held while someone joins or leaves, so that this happens one at a time
    members/ID      one file for each living process that uses the ledger, locked by it; what it asks for is in it
    runs/ID/        token, certificates, wallet and log of a run's sidecar; removed with the run

Whoever comes first starts the ledger, whoever leaves last stops it. A member that was killed is known by its file not
being locked.
"""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from wfb_operator.cli.processes import Service, StartError, is_alive, module_command, start, stop_other

TURN_SECONDS = 30.0
"""How long to wait for another process that joins or leaves."""

LEDGER_GRACE = 10.0

LEDGER_MODULE = "wfb_operator.ledger.main"


class StateError(Exception):
    """The state folder, or what is in it, cannot be used; the message says what to do."""


class LedgerError(Exception):
    """The ledger did not answer, or not with what was asked for; ``errors`` are the mistakes that it names."""

    def __init__(self, message: str, status: int = 0, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors


@dataclass(slots=True)
class Ledger:
    """A running ledger, as its controller reaches it."""

    url: str
    token: str = field(repr=False)
    pid: int = 0
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def get(self, path: str, **query: str) -> Any:
        """The parsed answer of a GET; raises LedgerError."""
        return json.loads(self._call("GET", path + (f"?{urlencode(query)}" if query else "")) or b"null")

    def put(self, path: str, body: Any) -> None:
        """Sends a document, or bytes as they are; raises LedgerError."""
        self._call("PUT", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def post(self, path: str, body: Any) -> None:
        """Sends a document that may be sent again; raises LedgerError."""
        self._call("POST", path, json.dumps(body).encode())

    def answers(self) -> bool:
        """Whether it is there and takes our token."""
        try:
            self._call("GET", "/v1/budgets", seconds=2.0)
        except LedgerError:
            return False
        return True

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, body: bytes | None = None, seconds: float = 15.0) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": "application/json"} if body else {})
        for again in (True, False):
            if fresh := self._connection is None:
                self._connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=seconds)
            assert self._connection is not None
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed while nobody used it; every call here may be repeated.
                if fresh or not again:
                    raise LedgerError(f"the ledger at {self.url} does not answer: {error}") from error
        if response.status >= 300:
            raise _refused(method, path, response.status, answer)
        return answer


def _refused(method: str, path: str, status: int, answer: bytes) -> LedgerError:
    """An answer that is not a success, with the mistakes that it names."""
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    document = document if isinstance(document, dict) else {}
    errors = tuple(
        f"{_place(e.get('path', ''))}{e.get('message', '')}" for e in document.get("errors", ()) if isinstance(e, dict)
    )
    detail = document.get("error") or "; ".join(errors) or answer[:200].decode(errors="replace")
    return LedgerError(f"the ledger answered {method} {path.partition('?')[0]} with {status}: {detail}", status, errors)


def _place(path: Any) -> str:
    """A field's path before its message, whether it came as text or as parts."""
    text = ".".join(map(str, path)) if isinstance(path, list) else str(path)
    return f"{text}: " if text else ""


def default_root(env: Mapping[str, str]) -> str:
    """``$XDG_STATE_HOME/wfb``, else ``~/.local/state/wfb`` (XDG Base Directory Specification)."""
    base = env.get("XDG_STATE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.local/state"), "wfb")


@dataclass(frozen=True, slots=True)
class State:
    """A state folder."""

    root: str

    def path(self, *parts: str) -> str:
        """The path of something in it."""
        return os.path.join(self.root, *parts)

    def prepare(self) -> None:
        """Makes the folder; raises StateError where that, or writing in it, does not work."""
        try:
            for folder in (self.root, self.path("ledger"), self.path("members"), self.path("runs")):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            probe = self.path(f".probe-{os.getpid()}")
            write_private(probe, b"")
            os.unlink(probe)
        except OSError as error:
            raise StateError(
                f"the state folder {self.root} cannot be written: {error.strerror};"
                " give another with --state DIR, or set XDG_STATE_HOME"
            ) from error

    @contextlib.contextmanager
    def turn(self, seconds: float = TURN_SECONDS) -> Iterator[None]:
        """The right to join or leave; raises StateError where someone else keeps it for so long."""
        fd = os.open(self.path("turn.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + seconds
            while not _locked(fd):
                if time.monotonic() > deadline:
                    holder = os.pread(fd, 20, 0).decode(errors="replace").strip() or "?"
                    raise StateError(
                        f"another wfb (pid {holder}) has been starting or ending on {self.root} for {seconds:g}"
                        " seconds: wait for it or end it, or give another folder with --state DIR"
                    )
                time.sleep(0.02)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(fd)

    def members(self) -> list[tuple[str, dict[str, Any]]]:
        """(id, what it asks for) of every living member; files of dead ones are removed. Only in one's turn."""
        found = []
        for name in sorted(os.listdir(self.path("members"))):
            path = self.path("members", name)
            fd = os.open(path, os.O_RDWR)
            try:
                if _locked(fd):
                    os.unlink(path)
                    shutil.rmtree(self.path("runs", name), ignore_errors=True)
                    continue
                with open(path, encoding="utf-8") as f:
                    found.append((name, json.load(f)))
            finally:
                os.close(fd)
        return found


@dataclass(slots=True)
class Member:
    """Our own place among those who use the ledger, for as long as the descriptor is open."""

    state: State
    id: str
    fd: int

    @property
    def folder(self) -> str:
        """Where this member keeps its own files."""
        return self.state.path("runs", self.id)

    def write(self, document: Mapping[str, Any]) -> None:
        """Says what this member asks for."""
        body = json.dumps(document).encode()
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, body, 0)


def enter(state: State, member_id: str) -> Member:
    """Takes a place; only in one's turn. Raises StateError where a living member has that id."""
    for name, document in state.members():
        if name == member_id:
            raise StateError(
                f"a run {member_id!r} is already going on here (pid {document.get('pid', '?')}): give another --run ID"
            )
    path = state.path("members", member_id)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    member = Member(state, member_id, fd)
    member.write({"pid": os.getpid()})
    return member


def budgets_together(
    mine: Iterable[Mapping[str, Any]], others: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[Mapping[str, Any]]:
    """The documents that the ledger is to hold: ours, and those of the other living members.

    Entries are ``{"key", "path", "document"}``. Ours replaces another's entry that came from the same file, because an
    edit reaches one of us first. Raises StateError where budgets of one name come from different files and differ.
    """
    together = {entry["key"]: entry for entry in mine}
    for name, document in others:
        for entry in document.get("budgets", ()):
            ours = together.setdefault(entry["key"], entry)
            if ours["path"] != entry["path"] and ours["document"] != entry["document"]:
                raise StateError(
                    f"budget {entry['key']} of {ours['path']} differs from the one that run {name} (pid"
                    f" {document.get('pid', '?')}) uses from {entry['path']}, and a budget has one content: use the same"
                    " file, give it another name, wait for that run, or keep apart with --state DIR"
                )
    return [entry["document"] for entry in together.values()]


def find_ledger(state: State) -> Ledger | None:
    """The ledger that is running on this state, or None."""
    try:
        with open(state.path("endpoint.json"), encoding="utf-8") as f:
            endpoint = json.load(f)
        with open(endpoint["admin_token_file"], encoding="ascii") as f:
            ledger = Ledger(endpoint["url"], f.read().strip(), endpoint["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ledger if is_alive(ledger.pid) and ledger.answers() else None


def start_ledger(state: State, listen: str = "127.0.0.1:0") -> Service:
    """Starts a ledger on this state; ``started`` must follow. Only in one's turn. Raises StartError."""
    write_private(state.path("admin-token"), secrets.token_urlsafe(32).encode())
    command = module_command(
        LEDGER_MODULE,
        *("--state", state.path("ledger"), "--listen", listen, "--admin-token-file", state.path("admin-token")),
    )
    return start("the ledger", command, _fresh_log(state.path("ledger.log")))


def started(state: State, service: Service) -> Ledger:
    """Waits for a started ledger and writes down where it answers; raises StartError."""
    line = service.ready()
    token_file = state.path("admin-token")
    with open(token_file, encoding="ascii") as f:
        token = f.read().strip()
    try:
        ledger = Ledger(str(line["url"]), token, int(line["pid"]))
    except (KeyError, ValueError, TypeError) as error:
        service.stop(LEDGER_GRACE)
        raise StartError(f"the ledger said {line!r} where its url and pid were expected") from error
    endpoint = {"url": ledger.url, "pid": ledger.pid, "admin_token_file": token_file}
    write_private(state.path("endpoint.json"), json.dumps(endpoint).encode())
    return ledger


def leave(member: Member, ledger: Ledger | None, service: Service | None, *, keep: bool = False) -> None:
    """Gives one's place back and, as the last, stops the ledger; ``keep`` leaves the member's folder where it is."""
    state = member.state
    with state.turn():
        os.close(member.fd)
        if not keep:
            shutil.rmtree(member.folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(state.path("members", member.id))
        if state.members():
            return
        if ledger is not None:
            ledger.close()
        if service is not None and service.running():
            service.stop(LEDGER_GRACE)
        elif ledger is not None and service is None and is_alive(ledger.pid):
            stop_other(ledger.pid, LEDGER_GRACE)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(state.path("endpoint.json"))


def write_private(path: str, content: bytes) -> None:
    """Writes a file that only its owner may read, whole or not at all."""
    part = f"{path}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as f:
        f.write(content)
    os.replace(part, path)


def run_path(name: str) -> str:
    """A run's id as the name of a file."""
    return quote(name, safe="").replace(".", "%2E")


def _fresh_log(path: str, most: int = 5_000_000) -> str:
    """The path of a log, whose content is moved aside once it has grown long."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.getsize(path) > most:
            os.replace(path, f"{path}.1")
    return path


def _locked(fd: int) -> bool:
    """Takes the lock of a file unless someone has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
