"""The listeners' own life: what is left when they are shut, and when a process has no descriptor left."""

import asyncio
import errno
import socket
from types import SimpleNamespace

import pytest

from wfb_sidecar import door
from wfb_sidecar.door import Door


def address(url):
    """The host and port of a listener's URL."""
    return ("127.0.0.1", int(url.rpartition(":")[2]))


async def hello(at):
    """What a door's proxy answers to a line that no proxy takes."""
    reader, writer = await asyncio.open_connection(*at)
    writer.write(b"CONNECT nowhere HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_door_that_is_shut_leaves_nothing():
    """No task waits at a closed socket, whose number the next socket of the process gets."""
    opened = Door(SimpleNamespace())
    at = address(await opened.listen("127.0.0.1:0", "proxy"))
    assert (await hello(at)).startswith(b"HTTP/1.1 400")
    opened.shut()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*at)
    again = Door(SimpleNamespace())
    at = address(await again.listen("127.0.0.1:0", "proxy"))
    assert (await hello(at)).startswith(b"HTTP/1.1 400")
    again.shut()
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_process_without_descriptors_accepts_again_when_some_are_back(monkeypatch, caplog):
    """A failed accept is said, and who waited is served once there is room; a door shut meanwhile stays shut."""
    monkeypatch.setattr(door, "FULL_SECONDS", 0.01)
    accept, failures = socket.socket.accept, [2]

    def full(listener):
        if failures[0]:
            failures[0] -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", full)
    opened = Door(SimpleNamespace())
    at = address(await opened.listen("127.0.0.1:0", "proxy"))
    assert (await hello(at)).startswith(b"HTTP/1.1 400")
    assert [r.message for r in caplog.records] == ["accept: [Errno 24] Too many open files"] * 2
    failures[0] = 1
    connecting = asyncio.create_task(asyncio.open_connection(*at))
    _, writer = await connecting
    while failures[0]:
        await asyncio.sleep(0)
    opened.shut()
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * door.FULL_SECONDS, passed.set)  # after the listener's own turn
    await passed.wait()
    assert [r.message for r in caplog.records if r.name == "asyncio"] == []
    writer.close()
