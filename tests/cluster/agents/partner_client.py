"""Meets the partner's four services on port 443 with the partner's own root, and prints what each said."""

import asyncio
import json
import ssl

import grpc
import httpx
from websockets.asyncio.client import connect

ROOT, CERTIFICATE, KEY = "/partner/ca.crt", "/partner/client.crt", "/partner/client.key"
context = ssl.create_default_context(cafile=ROOT)
mutual = ssl.create_default_context(cafile=ROOT)
mutual.load_cert_chain(CERTIFICATE, KEY)


async def _websocket() -> str:
    async with connect("wss://wss.partner.test/", ssl=context, proxy=None) as socket:
        await socket.send("hello")
        return str(await socket.recv())


def _grpc() -> str:
    with open(ROOT, "rb") as root:
        channel = grpc.secure_channel("grpc.partner.test:443", grpc.ssl_channel_credentials(root.read()))
    return channel.unary_unary("/partner.Echo/Say")(b"hello", timeout=20).decode()


print(
    json.dumps(
        {
            "https": httpx.get("https://https.partner.test/", verify=context, trust_env=True).text,
            "mtls": httpx.get("https://mtls.partner.test/", verify=mutual, trust_env=True).text,
            "wss": asyncio.run(_websocket()),
            "grpc": _grpc(),
        }
    )
)
