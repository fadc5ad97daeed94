"""Bytes from one socket to another without a look at them: everything that is not a provider's passes here."""

import asyncio
import contextlib
import fcntl
import os
import socket

_PIPE = 1 << 20
_F_SETPIPE_SZ = 1031
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Splice:
    """One direction: kernel pipe between two sockets, driven by readiness, no copy into Python.

    A half-close of the source is passed on; `done` resolves when the source has ended or either side broke.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, source: socket.socket, sink: socket.socket) -> None:
        self._loop = loop
        self._source, self._sink = source, sink
        # uvloop allows one callback a descriptor and direction; duplicates keep the two directions apart.
        self._in, self._out = os.dup(source.fileno()), os.dup(sink.fileno())
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._write, _F_SETPIPE_SZ, _PIPE)
        self._held = 0
        self._ended = False
        self.moved = 0
        self.done: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._in, self._fill)

    def close(self) -> None:
        """Stops and gives the descriptors back."""
        if self._in < 0:
            return
        self._loop.remove_reader(self._in)
        self._loop.remove_writer(self._out)
        for fd in (self._in, self._out, self._read, self._write):
            os.close(fd)
        self._in = -1
        if not self.done.done():
            self.done.set_result(None)

    def _fill(self) -> None:
        try:
            n = os.splice(self._in, self._write, _PIPE, flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            self._finish()
            return
        if n == 0:
            self._ended = True
            self._loop.remove_reader(self._in)
        self._held += n
        self._drain()

    def _drain(self) -> None:
        try:
            while self._held:
                n = os.splice(self._read, self._out, self._held, flags=_FLAGS)
                self._held -= n
                self.moved += n
        except BlockingIOError:
            self._loop.remove_reader(self._in)  # the sink is slow: leave the rest in the kernel's receive buffer
            self._loop.add_writer(self._out, self._resume)
            return
        except OSError:
            self._finish()
            return
        if self._ended:
            self._finish()

    def _resume(self) -> None:
        self._loop.remove_writer(self._out)
        if not self._ended:
            self._loop.add_reader(self._in, self._fill)
        self._drain()

    def _finish(self) -> None:
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self.close()


async def splice_both(a: socket.socket, b: socket.socket) -> int:
    """Joins two connected, non-blocking sockets until both directions have ended; returns the bytes moved."""
    loop = asyncio.get_running_loop()
    there, back = Splice(loop, a, b), Splice(loop, b, a)
    try:
        await asyncio.wait([there.done, back.done])
    finally:
        there.close()
        back.close()
    return there.moved + back.moved
