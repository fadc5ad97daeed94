"""Upstream TLS is verified: a provider that cannot prove its name gets no byte of a request."""

import pytest

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}


@pytest.mark.parametrize("mode", ["proxy", "base-url"])
@pytest.mark.parametrize("tls", ["wrong_name", "unknown_issuer", "expired"])
def test_a_provider_that_cannot_be_verified_gets_nothing(make_bench, client, tls, mode):
    """The client gets a 502, the provider no request, the books no cost, and the failure is counted."""
    bench = make_bench(tls=tls)
    sidecar = bench.sidecar()
    if mode == "proxy":
        answer = client(sidecar).post("https://api.openai.com/v1/chat/completions", json=BODY)
    else:
        answer = client(sidecar, proxy=False).post(sidecar.base_url + "/openai/v1/chat/completions", json=BODY)
    assert answer.status_code == 502
    assert bench.seen() == []
    assert bench.loop.call(lambda: bench.provider.bill.open) == 0
    books = bench.settled(1)
    assert (books.spent, books.reserved, books.calls(outcome="error")) == (0, 0, 1)
    assert sidecar.call(lambda: sidecar.parts.till.wallet.holds) == {}
    assert sidecar.metric("upstream_tls_failed_total") == 1


@pytest.mark.parametrize("path", ["/v1/models", "/v1/files"])
def test_paths_that_cost_nothing_are_verified_too(make_bench, client, path):
    """A request that only streams through is not sent either: its key would be on the wire."""
    bench = make_bench(tls="unknown_issuer")
    sidecar = bench.sidecar()
    call = client(sidecar)
    url = "https://api.openai.com" + path
    answer = call.post(url, content=b"x" * 5000) if path == "/v1/files" else call.get(url)
    assert answer.status_code == 502
    assert bench.loop.call(lambda: bench.provider.uploaded_bytes) == 0
    assert sidecar.metric("upstream_tls_failed_total") >= 1


def test_without_the_extra_root_the_test_provider_is_a_stranger(make_bench, client):
    """The control: the same provider is refused by the system's roots alone."""
    bench = make_bench()
    sidecar = bench.sidecar(upstream_ca=None)
    answer = client(sidecar).post("https://api.openai.com/v1/chat/completions", json=BODY)
    assert answer.status_code == 502
    assert bench.seen() == []
