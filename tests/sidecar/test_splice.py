"""Splicing two sockets: whole, in order, without leaving descriptors behind."""

import asyncio
import os
import socket

import pytest

from wfb_sidecar.splice import splice_both


def _descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def pairs():
    """Four sockets: client to a, b to server; a and b are what is joined."""
    client, a = socket.socketpair()
    b, server = socket.socketpair()
    for s in (client, a, b, server):
        s.setblocking(False)
    yield client, a, b, server
    for s in (client, a, b, server):
        s.close()


async def _read_to_end(s):
    loop, pieces = asyncio.get_running_loop(), []
    while piece := await loop.sock_recv(s, 65536):
        pieces.append(piece)
    return b"".join(pieces)


async def test_more_than_every_buffer_passes_in_both_directions(pairs):
    """Slow readers: the rest waits in the kernel, and all of it arrives; the count of bytes is right."""
    client, a, b, server = pairs
    loop = asyncio.get_running_loop()
    there, back = os.urandom(3 << 20), os.urandom(5 << 20)
    joined = asyncio.ensure_future(splice_both(a, b))

    async def send(s, data):
        await loop.sock_sendall(s, data)
        s.shutdown(socket.SHUT_WR)

    heard = await asyncio.gather(send(client, there), send(server, back), _read_to_end(server), _read_to_end(client))
    assert heard[2:] == [there, back]
    assert await asyncio.wait_for(joined, 5) == len(there) + len(back)


async def test_a_half_close_is_passed_on_while_the_other_direction_goes_on(pairs):
    """After the client's end the server still answers."""
    client, a, b, server = pairs
    loop = asyncio.get_running_loop()
    joined = asyncio.ensure_future(splice_both(a, b))
    await loop.sock_sendall(client, b"question")
    client.shutdown(socket.SHUT_WR)
    assert await _read_to_end(server) == b"question"
    await loop.sock_sendall(server, b"answer")
    server.shutdown(socket.SHUT_WR)
    assert await _read_to_end(client) == b"answer"
    assert await asyncio.wait_for(joined, 5) == len(b"question" + b"answer")


async def test_a_side_that_is_gone_ends_the_joint(pairs):
    """Data that has nowhere to go ends its direction, and the other one has ended with its source."""
    client, a, b, server = pairs
    joined = asyncio.ensure_future(splice_both(a, b))
    server.close()
    client.send(b"x" * 65536)
    await asyncio.wait_for(joined, 5)


async def test_no_descriptor_is_left_behind(pairs):
    """Neither by an end nor by a cancellation."""
    client, a, b, server = pairs
    before = _descriptors()
    joined = asyncio.ensure_future(splice_both(a, b))
    await asyncio.sleep(0)
    assert _descriptors() > before
    joined.cancel()
    await asyncio.wait([joined])
    assert _descriptors() == before
    joined = asyncio.ensure_future(splice_both(a, b))
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(joined, 5)
    assert _descriptors() == before
