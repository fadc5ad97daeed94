"""WebSockets through the sidecar: each response is held, read and booked by itself, and no money closes the socket."""

import json
import ssl

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

URL = (
    "wss://generativelanguage.googleapis.com/ws/"
    "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=fake"
)
SETUP = {"setup": {"model": "models/gemini-live-2.5-flash-preview", "generationConfig": {"maxOutputTokens": 500}}}
TURN = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hello"}]}], "turnComplete": True}}


@pytest.fixture
def dial():
    """Opens sockets through a sidecar's explicit proxy."""
    opened = []

    def make(sidecar, url=URL):
        """One socket."""
        trust = ssl.create_default_context(cafile=sidecar.bundle)
        socket = connect(url, proxy=sidecar.proxy, ssl=trust, open_timeout=20)
        opened.append(socket)
        return socket

    yield make
    for socket in opened:
        socket.close()


def _turn(socket):
    """Asks once and reads to the end of the turn; returns what it used."""
    socket.send(json.dumps(TURN))
    while True:
        said = json.loads(socket.recv(timeout=20))
        if said.get("serverContent", {}).get("turnComplete"):
            return said.get("usageMetadata")


def test_every_turn_is_booked_as_billed(make_bench, dial):
    """Two turns over one socket are two calls in the books, each at what the provider billed."""
    bench = make_bench()
    sidecar = bench.sidecar()
    socket = dial(sidecar)
    socket.send(json.dumps(SETUP))
    assert json.loads(socket.recv(timeout=20)) == {"setupComplete": {}}
    for _ in range(2):
        assert _turn(socket)["promptTokenCount"] > 0
    socket.close()

    books = bench.settled(2)
    assert books.calls() == len(bench.bill_lines()) == 2
    assert books.spent == bench.bill() > 0
    assert books.reserved == books.estimated == 0


def test_without_money_a_message_closes_the_socket(make_bench, dial):
    """The model is named in the first message: it goes nowhere, and the close says which budget and decision."""
    bench = make_bench(usd="0.000001")
    sidecar = bench.sidecar()
    socket = dial(sidecar)
    socket.send(json.dumps(SETUP))
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=20)

    assert closed.value.rcvd.code == 1008
    assert "test/tested" in closed.value.rcvd.reason
    assert bench.bill_lines() == []
    assert bench.settled().refused() == 1


def test_a_socket_that_nobody_meters_is_refused_at_its_upgrade(make_bench, dial):
    """Under Refuse an unknown path opens no socket, and the client is told the status."""
    bench = make_bench()
    with pytest.raises(InvalidStatus) as refused:
        dial(bench.sidecar(), "wss://generativelanguage.googleapis.com/ws/unknown")

    assert refused.value.response.status_code == 402
    assert refused.value.response.headers["x-wfb-reason"] == "Unmetered"


def test_a_realtime_response_is_booked_as_billed(make_bench, dial):
    """The upgrade names the model: money is held before the first message, and given back where nothing is asked."""
    bench = make_bench()
    sidecar = bench.sidecar()
    socket = dial(sidecar, "wss://api.openai.com/v1/realtime?model=gpt-realtime")
    assert json.loads(socket.recv(timeout=20))["type"] == "session.created"
    assert bench.books().reserved >= 0
    socket.send(json.dumps({"type": "response.create"}))
    while json.loads(socket.recv(timeout=20))["type"] != "response.done":
        pass
    socket.close()

    books = bench.settled(1)
    assert (books.calls(), books.spent) == (1, bench.bill())
    assert bench.bill() > 0
