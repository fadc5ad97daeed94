"""Clients that speak nothing but HTTP/2: gRPC of the xAI and Vertex SDKs."""

import ssl

import httpx2
import pytest

from harness.http2_server import http2_server


def _answer(asked):
    return {"content-type": "application/grpc"}, [b"\0\0\0\0\3abc", b"\0\0\0\0\2de"], {"grpc-status": "0"}


@pytest.fixture
def grpc(make_bench, loop_thread, certificates):
    """(bench, server, a client over HTTP/2 alone through a sidecar) for a budget's fields."""
    opened = []

    def make(**spec):
        bench = make_bench(**spec)
        serving = http2_server(_answer, certificates.good)
        server, address = loop_thread.run(serving.__aenter__())
        opened.append(serving)
        sidecar = bench.sidecar(connect_to={"api.x.ai:443": address})
        trust = ssl.create_default_context(cafile=sidecar.bundle)
        client = httpx2.Client(proxy=sidecar.proxy, verify=trust, http1=False, http2=True, timeout=20)
        opened.append(client)
        return bench, server, client

    yield make
    for thing in opened:
        if isinstance(thing, httpx2.Client):
            thing.close()
        else:
            loop_thread.run(thing.__aexit__(None, None, None))


URL = "https://api.x.ai/xai_api.Documents/Search"
HEADERS = {"content-type": "application/grpc", "te": "trailers"}


def test_a_method_that_nobody_meters_is_refused_over_http2(grpc):
    """Under Refuse no gRPC call passes that cannot be priced, and the client is told over its own protocol."""
    _, server, client = grpc()
    answer = client.post(URL, content=b"\0\0\0\0\1x", headers=HEADERS)
    assert answer.http_version == "HTTP/2"
    assert answer.headers["x-wfb-reason"] == "Unmetered"
    assert server.asked == []


def test_under_allow_it_passes_whole_and_is_counted(grpc):
    """Body, pieces and trailers pass over HTTP/2 both ways, and the books show an unmetered call."""
    bench, server, client = grpc(unpricedModels={"action": "Allow"})
    answer = client.post(URL, content=b"\0\0\0\0\1x", headers=HEADERS)
    assert answer.content == b"\0\0\0\0\3abc\0\0\0\0\2de"
    assert [bytes(a.body) for a in server.asked] == [b"\0\0\0\0\1x"]
    assert bench.settled(1).calls(outcome="unmetered") == 1
