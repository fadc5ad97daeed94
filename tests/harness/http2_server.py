"""A server that speaks nothing but HTTP/2 over TLS: what gRPC clients talk to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from harness.certificates import Pair


@dataclass
class Asked:
    """One request as it arrived."""

    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


Answering = Callable[[Asked], tuple[dict[str, str], list[bytes], dict[str, str]]]
"""(headers, pieces of the body, trailers) for a request."""


class Http2Server:
    """Answers every request with what `answering` says."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self.asked: list[Asked] = []
        """All requests so far."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        streams: dict[int, Asked] = {}
        try:
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    self._hear(connection, streams, event)
                writer.write(connection.data_to_send())
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _hear(self, connection: H2Connection, streams: dict[int, Asked], event: Any) -> None:
        match event:
            case RequestReceived():
                streams[event.stream_id] = Asked(dict(event.headers))
            case DataReceived():
                streams[event.stream_id].body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                asked = streams.pop(event.stream_id)
                self.asked.append(asked)
                headers, pieces, trailers = self._answering(asked)
                connection.send_headers(event.stream_id, [(":status", "200"), *headers.items()])
                for piece in pieces:
                    connection.send_data(event.stream_id, piece)
                connection.send_headers(event.stream_id, list(trailers.items()), end_stream=True)


@asynccontextmanager
async def http2_server(answering: Answering, pair: Pair) -> AsyncIterator[tuple[Http2Server, str]]:
    """(the server, its `host:port`) with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(["h2"])
    server = Http2Server(answering)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield server, f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
