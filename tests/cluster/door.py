"""``python door.py FD PID PORT``: takes connections where it was started and carries them to a port of another network.

`FD` is a listening socket that it inherits, `PID` a process of the other network. This is how the API server of a cluster that
lives in a network of its own is reached from outside without an address, a route or a rule on the host.
"""

import asyncio
import os
import socket
import sys


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def serve(listening: socket.socket, port: int) -> None:
    """Until the process is told to end."""

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        writer.close()
        far_writer.close()

    server = await asyncio.start_server(through, sock=listening)
    await server.serve_forever()


if __name__ == "__main__":
    descriptor, process, to = map(int, sys.argv[1:4])
    accepting = socket.socket(fileno=descriptor)
    accepting.setblocking(False)
    namespace = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    os.setns(namespace, os.CLONE_NEWNET)
    asyncio.run(serve(accepting, to))
