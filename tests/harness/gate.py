"""A door to a port of the loopback that a test shuts and opens: what is behind it is away, and comes back."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Gate:
    """Carries connections on ``port`` to ``behind`` while it is open."""

    behind: int
    port: int = 0
    _listening: socket.socket | None = None
    _sockets: list[socket.socket] = field(default_factory=list)

    def open(self) -> "Gate":
        """Let connections in, on the same port as before."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()
        return self

    def shut(self) -> None:
        """Cut every connection and refuse new ones."""
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            listening.close()
        while self._sockets:
            with contextlib.suppress(OSError):
                self._sockets.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.behind))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(from_: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := from_.recv(65536):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
