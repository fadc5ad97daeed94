"""Which connections are looked into and which pass untouched, and that nothing a client sends stops the listener."""

import asyncio
import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
from contextlib import closing

import aiohttp
import pytest
from aiohttp import web

from harness.until import until
from wfb_sidecar import door

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
MEGABYTES = 50


@pytest.fixture(scope="module")
def sidecar(module_bench):
    """One sidecar."""
    return module_bench.sidecar()


@pytest.fixture
def serve(loop_thread):
    """Starts TCP servers beside the sidecar from a coroutine `(reader, writer)`; gives their ports."""
    servers = []

    def start(handler, context=None):
        """One server."""

        async def work(reader, writer):
            try:
                await handler(reader, writer)
            finally:
                writer.close()

        server = loop_thread.run(asyncio.start_server(work, "127.0.0.1", 0, ssl=context))
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        loop_thread.call(server.close)


def _connect(sidecar, target, *, status=b"200"):
    """A socket through CONNECT."""
    s = socket.create_connection(sidecar.proxy_address, timeout=20)
    s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(1)
        assert piece, head
        head += piece
    assert head.split(b" ")[1] == status, head
    return s


def _request(body=BODY, host="api.openai.com"):
    data = json.dumps(body).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\nconnection: close\r\n\r\n"
    ).encode() + data


def _read_all(s):
    pieces = []
    while piece := s.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)


async def _echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


# -- passed through


def test_a_foreign_server_shows_its_own_certificate_and_asks_for_the_clients(sidecar, serve, certificates):
    """TLS to anybody else is end to end: the real certificate arrives, and a client certificate works."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(*certificates.good)
    theirs.verify_mode = ssl.CERT_REQUIRED
    theirs.load_verify_locations(certificates.root)

    async def handler(reader, writer):
        name = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])["commonName"]
        await reader.readexactly(4)
        writer.write(name.encode())
        await writer.drain()

    port = serve(handler, theirs)
    passed = sidecar.metric("connections_passed_total", kind="foreign")
    trust = ssl.create_default_context(cafile=certificates.root)
    trust.load_cert_chain(*certificates.client)
    with trust.wrap_socket(_connect(sidecar, f"localhost:{port}"), server_hostname="localhost") as s:
        expected = ssl.PEM_cert_to_DER_cert(certificates.good.certificate.read_text())
        assert s.getpeercert(binary_form=True) == expected
        s.sendall(b"name")
        assert s.recv(100) == b"client.test"
    assert sidecar.metric("connections_passed_total", kind="foreign") == passed + 1


def test_a_server_that_speaks_first_is_heard(sidecar, serve):
    """A protocol like SMTP works through CONNECT on a foreign port."""

    async def handler(reader, writer):
        writer.write(b"220 ready\r\n")
        await writer.drain()
        writer.write(b"you said " + await reader.readline())

    port = serve(handler)
    with closing(_connect(sidecar, f"127.0.0.1:{port}")) as s:
        assert s.recv(100) == b"220 ready\r\n"
        s.sendall(b"EHLO\r\n")
        assert _read_all(s) == b"you said EHLO\r\n"


def test_a_silent_client_on_an_address_at_443_is_passed_on(make_bench, serve, monkeypatch):
    """An address on 443 may hide a provider, so the hello is awaited, but not for ever."""
    monkeypatch.setattr(door, "HELLO_SECONDS", 0.2)

    async def handler(reader, writer):
        writer.write(b"hello first")
        await writer.drain()

    sidecar = make_bench().sidecar(connect_to={"192.0.2.1:443": f"127.0.0.1:{serve(handler)}"})
    with closing(_connect(sidecar, "192.0.2.1:443")) as s:
        assert s.recv(100) == b"hello first"


def test_tls_to_an_address_without_a_known_name_is_passed_on(make_bench, serve, certificates):
    """Another server's name in the hello, or none, on an address at 443: spliced."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(*certificates.good)
    port = serve(_echo, theirs)
    sidecar = make_bench().sidecar(connect_to={"192.0.2.1:443": f"127.0.0.1:{port}"})
    trust = ssl.create_default_context(cafile=certificates.root)
    with trust.wrap_socket(_connect(sidecar, "192.0.2.1:443"), server_hostname="localhost") as s:
        s.sendall(b"ping")
        assert s.recv(10) == b"ping"
    trust.check_hostname = False
    with trust.wrap_socket(_connect(sidecar, "192.0.2.1:443")) as s:
        s.sendall(b"ping")
        assert s.recv(10) == b"ping"
    assert sidecar.metric("connections_passed_total", kind="foreign") == 1
    assert sidecar.metric("connections_passed_total", kind="no-name") == 1


def test_a_half_closed_connection_still_answers(sidecar, serve):
    """The client's end of sending is passed on, and the server's answer still comes."""

    async def handler(reader, writer):
        data = await reader.read(-1)
        writer.write(hashlib.sha256(data).hexdigest().encode())
        await writer.drain()

    port = serve(handler)
    with closing(_connect(sidecar, f"127.0.0.1:{port}")) as s:
        s.sendall(b"x" * 100_000)
        s.shutdown(socket.SHUT_WR)
        assert _read_all(s).decode() == hashlib.sha256(b"x" * 100_000).hexdigest()


def test_large_data_passes_intact_in_both_directions_at_once(sidecar, serve):
    """Fifty megabytes each way, equal by hash, while both sides send."""
    block = os.urandom(1 << 20)
    heard = []

    async def handler(reader, writer):
        async def send():
            for _ in range(MEGABYTES):
                writer.write(block)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.ensure_future(send())
        digest = hashlib.sha256()
        while data := await reader.read(1 << 18):
            digest.update(data)
        heard.append(digest.hexdigest())
        await sending

    port = serve(handler)
    expected = hashlib.sha256(block * MEGABYTES).hexdigest()
    with closing(_connect(sidecar, f"127.0.0.1:{port}")) as s:

        def send():
            for _ in range(MEGABYTES):
                s.sendall(block)
            s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        digest = hashlib.sha256()
        while data := s.recv(1 << 18):
            digest.update(data)
        sender.join()
    assert digest.hexdigest() == expected
    until(lambda: heard, "the server's hash")
    assert heard == [expected]


async def test_a_websocket_to_a_foreign_host_works(sidecar, loop_thread):
    """An upgraded connection passes through CONNECT and as plain HTTP over the proxy."""

    async def handler(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str("heard " + message.data)
        return ws

    async def start():
        application = web.Application()
        application.router.add_get("/ws", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(start(), loop_thread.loop))
    port = runner.addresses[0][1]
    tunnel = await asyncio.to_thread(_connect, sidecar, f"127.0.0.1:{port}")
    tunnel.setblocking(False)
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    reader, writer = await asyncio.open_connection(sock=tunnel)
    writer.write(
        b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x81\x82\0\0\0\0hi")
    assert await reader.readexactly(2 + len("heard hi")) == b"\x81\x08heard hi"
    writer.close()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/ws", proxy=sidecar.proxy) as ws,
    ):
        await ws.send_str("plain")
        assert (await ws.receive(timeout=5)).data == "heard plain"
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(runner.cleanup(), loop_thread.loop))


def test_connect_to_a_host_that_is_down_is_told_at_once(sidecar):
    """502 instead of a tunnel to nowhere; the same for a name that does not resolve."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _connect(sidecar, f"127.0.0.1:{taken.getsockname()[1]}", status=b"502").close()
    _connect(sidecar, "no-such-host.invalid:443", status=b"502").close()


# -- looked into


def test_connect_by_address_with_a_providers_name_is_intercepted(module_bench, sidecar):
    """A client that resolves for itself still asks for the provider's name, and that is metered."""
    trust = ssl.create_default_context(cafile=sidecar.bundle)
    with module_bench.balanced():
        s = _connect(sidecar, "203.0.113.7:443")
        with trust.wrap_socket(s, server_hostname="api.openai.com") as tls:
            tls.sendall(_request())
            assert b" 200 " in _read_all(tls)[:20]


def test_a_hello_in_many_pieces_is_understood(module_bench, sidecar):
    """The hello's bytes may come one by one, in segments of any size."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.create_default_context(cafile=sidecar.bundle)
    tls = trust.wrap_bio(incoming, outgoing, server_hostname="api.openai.com")
    with closing(_connect(sidecar, "203.0.113.7:443")) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        small = True
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            data = outgoing.read()
            for i in range(0, len(data), 40 if small else len(data)):
                s.sendall(data[i : i + (40 if small else len(data))])
            small = False
            if done:
                break
            incoming.write(s.recv(65536))
        assert tls.getpeercert()["subjectAltName"] == (("DNS", "api.openai.com"),)


def test_an_own_plain_endpoint_is_metered(make_bench, client):
    """A model server of one's own on plain HTTP, through the proxy as plain request and through CONNECT."""
    bench = make_bench()
    endpoint = bench.urls.plain.removeprefix("http://")
    sidecar = bench.sidecar(endpoints=[{"endpoint": endpoint, "provider": "openai"}])
    with bench.balanced(2):
        assert client(sidecar).post(f"http://{endpoint}/v1/chat/completions", json=BODY).status_code == 200
        with closing(_connect(sidecar, endpoint)) as s:
            s.sendall(_request(host=endpoint))
            assert b" 200 " in _read_all(s)[:20]


def test_an_own_tls_endpoint_is_metered(make_bench, client):
    """The authority may speak for the endpoint's name; other ports of the same name pass untouched."""
    bench = make_bench()
    port = bench.urls.tls.rpartition(":")[2]
    sidecar = bench.sidecar(endpoints=[{"endpoint": f"localhost:{port}", "provider": "openai"}])
    with bench.balanced():
        answer = client(sidecar).post(f"https://localhost:{port}/v1/chat/completions", json=BODY)
    assert answer.status_code == 200


def test_plain_http_to_somebody_else_is_passed(module_bench, sidecar, client):
    """The explicit proxy forwards a plain request to any other host, unmetered and whole."""
    calls = module_bench.settled().calls()
    http = client(sidecar)
    answer = http.get(module_bench.urls.plain + "/download?bytes=3000000")
    assert (answer.status_code, len(answer.content)) == (200, 3_000_000)
    assert http.post(module_bench.urls.plain + "/v1/files", content=b"x" * 300_000).json()["bytes"] == 300_000
    assert module_bench.settled().calls() == calls


def test_one_connection_serves_calls_in_sequence(module_bench, sidecar, client):
    """Keep-alive: several calls on one client connection are each metered."""
    http = client(sidecar)
    intercepted = sidecar.metric("connections_intercepted_total")
    with module_bench.balanced(4):
        for stream in (False, True, False, True):
            answer = http.post("https://api.openai.com/v1/chat/completions", json={**BODY, "stream": stream})
            assert answer.status_code == 200
    assert sidecar.metric("connections_intercepted_total") == intercepted + 1


def test_a_client_that_does_not_trust_us_is_counted_by_host(sidecar, certificates):
    """The first thing to look at when calls fail."""
    trust = ssl.create_default_context(cafile=certificates.root)
    with pytest.raises(ssl.SSLCertVerificationError):
        trust.wrap_socket(_connect(sidecar, "api.openai.com:443"), server_hostname="api.openai.com")
    until(lambda: sidecar.metric("client_tls_failed_total", host="api.openai.com") >= 1, "the failure's count")


def test_an_upstream_proxy_carries_everything(make_bench, client):
    """An HTTPS_PROXY that was there before becomes the sidecar's own way out: metered and passed alike."""
    bench = make_bench()
    outer = bench.sidecar("outer")  # any CONNECT proxy will do; it splices what is foreign to it
    port = bench.urls.tls.rpartition(":")[2]
    inner = bench.sidecar(
        "inner",
        upstream_proxy=outer.proxy,
        connect_to={},
        endpoints=[{"endpoint": f"localhost:{port}", "provider": "openai"}],
    )
    with bench.balanced():
        answer = client(inner).post(f"https://localhost:{port}/v1/chat/completions", json=BODY)
    assert answer.status_code == 200
    assert outer.metric("connections_passed_total", kind="foreign") == 1
    plain = bench.urls.plain.removeprefix("http://")
    with closing(_connect(inner, plain)) as s:
        s.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b" 200 " in _read_all(s)[:20]
    assert outer.metric("connections_passed_total", kind="foreign") == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _connect(inner, f"127.0.0.1:{taken.getsockname()[1]}", status=b"502").close()


# -- malformed


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\xff" * 512,
        b"CONNECT\r\n\r\n",
        b"CONNECT  HTTP/1.1\r\n\r\n",
        b"CONNECT api.openai.com HTTP/1.1\r\n\r\n",
        b"CONNECT api.openai.com:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT \xff\xfe:443 HTTP/1.1\r\n\r\n",
        b"CONNECT [::1:443 HTTP/1.1\r\n\r\n",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\nnot tls at all",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n\x16\x03\x01\x00\x05abcde",
        b"CONNECT " + b"a" * 70_000 + b":443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://host/ HTTP/1.1\r\n\r\n",
        b"GET http:///nothing HTTP/1.1\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"POST http://api.openai.com/v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST http://api.openai.com/v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST http://api.openai.com/v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"\0" * 70_000,
    ],
)
def test_malformed_requests_do_not_stop_the_listener(module_bench, sidecar, client, sent):
    """The client gets an error or an end; the next client is served."""
    errors = sidecar.metric("internal_errors_total")
    with closing(socket.create_connection(sidecar.proxy_address, timeout=20)) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        try:
            _read_all(s)
        except ConnectionResetError:
            pass
    with module_bench.balanced():
        assert client(sidecar).post("https://api.openai.com/v1/chat/completions", json=BODY).status_code == 200
    assert sidecar.metric("internal_errors_total") == errors


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /nobody/v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n",
        b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    ],
)
def test_malformed_requests_do_not_stop_the_base_url_listener(sidecar, client, sent):
    """The same for the other listener, which is nobody's proxy."""
    host, _, port = sidecar.base_url.removeprefix("http://").rpartition(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        heard = _read_all(s)
    assert b" 200 " not in heard[:20]
    answer = client(sidecar, proxy=False).get(sidecar.base_url + "/openai/v1/models")
    assert answer.status_code == 200


# -- other clients' trust


_NODE = """
const net = require('net'), tls = require('tls');
const [host, port] = process.argv[2].split(':');
const body = JSON.stringify({model: 'gpt-4o', messages: [{role: 'user', content: 'hello'}], max_tokens: 50});
const socket = net.connect(+port, host, () => socket.write('CONNECT api.openai.com:443 HTTP/1.1\\r\\n\\r\\n'));
socket.once('data', head => {
  if (!head.toString().includes(' 200 ')) { console.log(head.toString()); process.exit(1); }
  const secure = tls.connect({socket, servername: 'api.openai.com'}, () => {
    secure.write('POST /v1/chat/completions HTTP/1.1\\r\\nhost: api.openai.com\\r\\nconnection: close\\r\\n' +
      `content-type: application/json\\r\\ncontent-length: ${body.length}\\r\\n\\r\\n${body}`);
  });
  let heard = '';
  secure.on('data', d => heard += d);
  secure.on('end', () => { console.log(heard.split('\\r\\n')[0]); process.exit(0); });
  secure.on('error', e => { console.log(e.code); process.exit(2); });
});
"""


@pytest.mark.parametrize("trusted", [True, False])
def test_node_trusts_the_lone_root_beside_its_own(module_bench, sidecar, tmp_path, trusted):
    """NODE_EXTRA_CA_CERTS with `ca.pem`: the chain is accepted; without it it is not."""
    script = tmp_path / "call.js"
    script.write_text(_NODE)
    environment = {k: v for k, v in os.environ.items() if k != "NODE_EXTRA_CA_CERTS"}
    if trusted:
        environment["NODE_EXTRA_CA_CERTS"] = sidecar.ready["ca"]
    done = subprocess.run(
        ["node", str(script), sidecar.proxy.removeprefix("http://")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if trusted:
        assert done.stdout.strip() == "HTTP/1.1 200 OK", done.stderr
        module_bench.settled()
    else:
        assert done.returncode == 2
        assert "CERT" in done.stdout or "SIGNED" in done.stdout


def test_a_providers_name_that_cannot_be_resolved_ends_the_call(module_bench, sidecar, client):
    """A name below a provider's that no resolver takes is an error to the client, and nothing stays held."""
    name = "a" * 60 + "." + "b" * 64 + ".api.openai.com"
    with closing(_connect(sidecar, f"{name}:80")) as s:
        s.sendall(_request(host=name))
        assert b" 502 " in _read_all(s)[:20]
    assert module_bench.settled().reserved == 0
