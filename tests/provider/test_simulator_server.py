"""The simulator as a server: its bill and settings over HTTP, request bodies of every kind, bulk, TLS, the process."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

import simulator
from harness.certificates import make_certificates
from simulator import Provider, running
from simulator.prices import find
from simulator.usage import Usage

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def provider():
    """A provider that bills abandoned streams whole."""
    return Provider(defaults={"output-tokens": 10})


@pytest.fixture
async def session(provider):
    """A client of the provider."""
    async with running(provider) as urls, aiohttp.ClientSession(urls.plain) as session:
        yield session


async def _post(session, label=""):
    async with session.post("/v1/chat/completions", json=BODY, headers={"x-sim-label": label}) as answer:
        return await answer.json()


async def test_the_bill_over_http(session):
    """Lines can be selected by label and hold exact money; the summary adds them up by served model."""
    ids = [(await _post(session, label))["id"] for label in ("a", "b", "a")]
    async with session.get("/sim/bill?label=a&wait=1") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [line["id"] for line in lines] == [ids[0], ids[2]]
    assert lines[0].pop("at") > 0
    assert lines[0] == {
        "id": ids[0],
        "provider": "openai",
        "model": "gpt-4o",
        "served_model": "gpt-4o-2024-08-06",
        "stream": False,
        "input": 2,
        "cache_read": 0,
        "cache_write": 0,
        "cache_write_1h": 0,
        "output": 10,
        "reasoning": 0,
        "usd": "0.000105",
        "cut": False,
        "usage_withheld": False,
        "label": "a",
        "fault": "",
    }
    async with session.get("/sim/bill/summary") as answer:
        assert await answer.json() == {
            "calls": 3,
            "usd": "0.000315",
            "withheld": 0,
            "cut": 0,
            "open": 0,
            "by_model": {"gpt-4o-2024-08-06": {"calls": 3, "usd": "0.000315"}},
        }


async def test_defaults_change_and_reset_returns_to_the_first(provider, session):
    """What is put as defaults rules the calls that say nothing; reset empties the bill and undoes it."""
    async with session.put("/sim/defaults", json={"output-tokens": 3, "bill-cut": "made"}) as answer:
        assert answer.status == 200
    await _post(session)
    assert (provider.bill.lines[0].usage.output, provider.bill_cut) == (3, "made")
    async with session.post("/sim/reset") as answer:
        assert answer.status == 200
    await _post(session)
    assert [line.usage.output for line in provider.bill.lines] == [10]
    assert provider.bill_cut == "whole"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"fault": "fire"}, "fault 'fire' is unknown: use one of 400,"),
        ({"bill-cut": "half"}, "bill-cut 'half' is unknown: use one of whole, made"),
        ({"output-tokens": 1.5}, "output-tokens 1.5 is not a count: use a whole number, 0 or more"),
        ({"outputs": 1}, "'outputs' is not something the simulator does: use one of output-tokens,"),
        ([], "not a JSON object"),
    ],
)
async def test_defaults_that_mean_nothing_change_nothing(provider, session, said, message):
    """A wrong setting is named with its value and the way out."""
    async with session.put("/sim/defaults", json=said) as answer:
        assert answer.status == 400
        assert message in (await answer.json())["error"]["message"]
    assert (provider.defaults.output_tokens, provider.bill_cut) == (10, "whole")


async def test_what_reached_the_provider_can_be_looked_at(session):
    """The last calls are kept with headers and body, so that a test sees what a proxy made of them."""
    await _post(session, "mine")
    async with session.get("/sim/seen?label=mine") as answer:
        (call,) = await answer.json()
    assert (call["path"], call["body"]) == ("/v1/chat/completions", BODY)
    assert call["headers"]["x-sim-label"] == "mine"


@pytest.mark.parametrize(
    ("headers", "shape"),
    [
        ({}, {"error": {"message": "Invalid URL (GET /v1/nowhere)", "type": "invalid_request_error"}}),
        ({"anthropic-version": "2023-06-01"}, {"type": "error", "error": {"type": "not_found_error"}}),
    ],
)
async def test_an_unknown_path_is_not_found_in_the_callers_dialect(session, headers, shape):
    """404, with the error where the caller's SDK looks for it."""
    async with session.get("/v1/nowhere", headers=headers) as answer:
        assert answer.status == 404
        body = await answer.json()
    assert shape.get("type") == body.get("type")
    assert shape["error"].items() <= body["error"].items()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null"])
async def test_a_body_that_is_no_object_is_refused(provider, session, body):
    """400 in the dialect's shape, not billed."""
    async with session.post("/v1/messages", data=body) as answer:
        assert (answer.status, (await answer.json())["error"]["type"]) == (400, "invalid_request_error")
    assert provider.bill.lines == []
    await provider.bill.idle()


async def test_bodies_in_chunks_of_any_size(provider, session):
    """A request in chunked encoding, cut anywhere, is the request it would be in one piece."""
    whole = json.dumps(BODY).encode()
    for size in (1, 7, len(whole)):

        async def pieces(size=size):
            """The body in pieces of a size."""
            for start in range(0, len(whole), size):
                yield whole[start : start + size]

        async with session.post("/v1/chat/completions", data=pieces()) as answer:
            assert answer.status == 200
    assert [line.usage.input for line in provider.bill.lines] == [2, 2, 2]


async def test_an_upload_is_counted_and_forgotten(provider, session):
    """The body of an upload is never held, in either encoding, and the next call on the connection is answered."""

    async def pieces():
        """An upload in pieces."""
        for _ in range(40):
            yield bytes(100_000)

    for data in (bytes(4_000_000), pieces()):
        async with session.post("/v1/files", data=data, expect100=True) as answer:
            assert (await answer.json())["bytes"] == 4_000_000
    await _post(session)
    assert provider.uploaded_bytes == 8_000_000


@pytest.mark.parametrize("count", [0, 1, 262_145, 5_000_000])
async def test_a_download_has_the_bytes_asked_for(session, count):
    """Bulk bytes, to the byte."""
    async with session.get(f"/download?bytes={count}") as answer:
        assert len(await answer.read()) == count


def test_prices_by_hand():
    """Every class at its own rate, classes inside totals counted once, and cliffs for the whole call."""
    table = [
        ("openai", "gpt-4o", Usage(1000, 400, 0, 0, 100, 0), "0.003"),  # 600 at 2.50, 400 at 1.25, 100 at 10
        ("openai", "gpt-4o-2024-05-13", Usage(1000, 400, 0, 0, 100, 0), "0.0065"),  # nothing is cheaper when cached
        ("openai", "gpt-4.1-mini", Usage(1000, 0, 400, 0, 0, 0), "0.0004"),  # writes cost what input costs
        ("openai", "gpt-6-luna", Usage(272_000, 0, 0, 0, 1000, 0), "0.0277"),
        ("openai", "gpt-6-luna", Usage(272_001, 0, 1, 0, 1000, 0), "0.05515025"),
        ("anthropic", "claude-opus-4-5", Usage(1000, 300, 500, 200, 10, 5), "0.005275"),
        ("anthropic", "claude-haiku-5-5", Usage(100_001, 1, 0, 0, 10, 0), "0.05002505"),
    ]
    for provider, name, usage, usd in table:
        model, _ = find(provider, name)
        assert model.cost(usage) == Decimal(usd), name
        assert model.source.startswith("https://")


async def test_tls_with_good_and_bad_certificates(tmp_path):
    """A client that trusts the root reaches the good server by every name, and none of the bad ones."""
    made = make_certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=made.root)

    async def status(pair, name="api.openai.com"):
        """What a server with these certificates answers."""
        async with running(Provider(), certificate=pair.certificate, key=pair.key) as urls:
            port = int(urls.tls.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
            writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer.split(b" ")[1]

    for name in ("api.openai.com", "api.anthropic.com", "localhost", "127.0.0.1"):
        assert await status(made.good, name) == b"200"
    for pair, reason in (
        (made.wrong_name, "Hostname mismatch"),
        (made.expired, "certificate has expired"),
        (made.unknown_issuer, "unable to get local issuer certificate"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            await status(pair)


def test_client_certificates(tmp_path):
    """A server that asks for client certificates takes one of its authority and no other."""
    made = make_certificates(tmp_path)
    assert _shaken(made, made.client) == "client.test"
    for other in (made.client_unknown_issuer, None):
        with pytest.raises(ssl.SSLError):
            _shaken(made, other)


def _shaken(made, pair):
    """The client's name as the server sees it, after a handshake in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*made.good)
    server.load_verify_locations(made.root)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=made.root)
    if pair:
        client.load_cert_chain(*pair)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
            if end.server_side:
                return dict(part[0] for part in end.getpeercert()["subject"])["commonName"]
    return None


def test_the_process(tmp_path):
    """As a process it says in one line where it listens, serves both ports, and ends well on SIGTERM."""
    made = make_certificates(tmp_path)
    command = [sys.executable, "-m", "simulator", "--cert", made.good.certificate, "--key", made.good.key]
    command += ["--bill-cut", "made", "--defaults", '{"output-tokens": 4}']
    where = {"PYTHONPATH": str(Path(simulator.__file__).parents[1])}
    with subprocess.Popen(command, env=where, stdout=subprocess.PIPE, text=True) as process:
        try:
            urls = json.loads(process.stdout.readline())
            assert urls["pid"] == process.pid
            for url in (urls["plain"], urls["tls"]):
                assert asyncio.run(_output_tokens(url, made.root)) == 4
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


async def _output_tokens(url, root):
    context = ssl.create_default_context(cafile=root)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        return (await _post(session))["usage"]["completion_tokens"]
