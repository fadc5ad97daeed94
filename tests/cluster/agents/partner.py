"""A service of somebody else, behind another authority: HTTPS, HTTPS with client certificates, a WebSocket, gRPC."""

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor

import grpc
from websockets.asyncio.server import serve as serve_websocket

CERTIFICATE, KEY, ROOT = "/partner/tls.crt", "/partner/tls.key", "/partner/ca.crt"


def _context(*, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    if mutual:
        context.load_verify_locations(ROOT)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    shown = writer.get_extra_info("peercert") or {}
    name = dict(part[0] for part in shown.get("subject", ())).get("commonName", "nobody").encode()
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name))
    await writer.drain()
    writer.close()


async def _echo(socket) -> None:
    async for message in socket:
        await socket.send(message[::-1])


def _grpc() -> grpc.Server:
    echo = grpc.unary_unary_rpc_method_handler(lambda request, _: request[::-1])
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("partner.Echo", {"Say": echo}),))
    with open(KEY, "rb") as key, open(CERTIFICATE, "rb") as certificate:
        server.add_secure_port("0.0.0.0:8446", grpc.ssl_server_credentials([(key.read(), certificate.read())]))
    return server


async def main() -> None:
    """Serves until it is told to end."""
    server = _grpc()  # kept: a server that nobody holds is stopped
    server.start()
    await asyncio.start_server(_http, "0.0.0.0", 8443, ssl=_context())
    await asyncio.start_server(_http, "0.0.0.0", 8444, ssl=_context(mutual=True))
    await serve_websocket(_echo, "0.0.0.0", 8445, ssl=_context())
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
