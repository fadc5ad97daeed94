"""Who listens in this network, as the kernel tells it: without a connection that somebody would have to answer."""

import contextlib
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTEN = "0A"
"""The state of a listening socket (Linux, include/net/tcp_states.h: TCP_LISTEN is 10)."""


def listens(port: int, tables: tuple[Path, ...] = TABLES) -> bool:
    """Whether a TCP socket listens on a port, at whatever address; a table that is not there says nothing."""
    for table in tables:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state = line.split(maxsplit=4)[:4]
                if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False
