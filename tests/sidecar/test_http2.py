"""Clients that speak nothing but HTTP/2: gRPC of the xAI and Vertex SDKs."""

import os
import ssl

import grpc as grpcio
import httpx2
import pytest

from harness.dialect_requests import ASKED, framed, message
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


# ---------------------------------------------------------------- a real gRPC client
MODEL = "grok-4-1-fast-non-reasoning"
USAGE = message((1, 57), (2, 453), (3, 510))
COMPLETION = message((1, "id-1"), (2, message((1, 3), (3, message((1, "Paris"))))), (6, MODEL), (9, USAGE))
REQUEST = ASKED["grpc-xai"].body[5:]


def _completes(asked):
    return {"content-type": "application/grpc"}, [framed(COMPLETION)], {"grpc-status": "0"}


@pytest.fixture
def grpc_client(make_bench, loop_thread, certificates, monkeypatch):
    """(bench, server, a call of xAI's chat by the real gRPC library) for a budget's fields."""
    opened = []

    def make(**spec):
        bench = make_bench(**spec)
        serving = http2_server(_completes, certificates.good)
        server, address = loop_thread.run(serving.__aenter__())
        sidecar = bench.sidecar(connect_to={"api.x.ai:443": address})
        monkeypatch.setenv("https_proxy", sidecar.proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        with open(sidecar.bundle, "rb") as bundle:
            channel = grpcio.secure_channel("api.x.ai:443", grpcio.ssl_channel_credentials(bundle.read()))
        opened.extend((serving, channel))
        return bench, server, channel.unary_unary("/xai_api.Chat/GetCompletion")

    assert os.environ.get("GRPC_TRACE") is None
    yield make
    for thing in opened:
        if isinstance(thing, grpcio.Channel):
            thing.close()
        else:
            loop_thread.run(thing.__aexit__(None, None, None))


def test_a_real_grpc_call_is_metered_and_priced(grpc_client):
    """The library's own HTTP/2, through CONNECT: the message arrives whole, and its counts are booked at the price."""
    bench, server, call = grpc_client()
    assert call(REQUEST, timeout=20) == COMPLETION
    (row,) = bench.settled(1).rows
    assert (row["model"], row["input_tokens"], row["output_tokens"], row["outcome"]) == (MODEL, 453, 57, "ok")
    assert bench.books().spent > 0
    assert len(server.asked) == 1


def test_a_real_grpc_client_reads_its_refusal_and_does_not_retry(grpc_client):
    """An exhausted budget is a precondition that failed, which no client repeats, with the sentence in its details."""
    _, server, call = grpc_client(usd="0.00")
    with pytest.raises(grpcio.RpcError) as caught:
        call(REQUEST, timeout=20)
    assert caught.value.code() == grpcio.StatusCode.FAILED_PRECONDITION
    assert "Decision d-" in caught.value.details()
    assert dict(caught.value.trailing_metadata())["x-wfb-reason"] == "BudgetExhausted"
    assert server.asked == []
