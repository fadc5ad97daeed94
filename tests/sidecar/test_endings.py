"""However a call ends, it is settled once: exactly where the provider said what it used, else by a marked estimate."""

import gzip
import json
import socket
import threading
from contextlib import contextmanager

import httpx2
import pytest

from harness.until import until
from simulator import provider as simulated
from wfb_core.money import format_usd, parse_usd
from wfb_sidecar.wallet_file import WalletFile

HOSTS = {
    "chat": "https://api.openai.com/v1/chat/completions",
    "responses": "https://api.openai.com/v1/responses",
    "messages": "https://api.anthropic.com/v1/messages",
}
HELLO = [{"role": "user", "content": "hello there"}]
BODIES = {
    "chat": {"model": "gpt-4o", "messages": HELLO, "max_tokens": 4000},
    "responses": {"model": "gpt-4o", "input": "hello there", "max_output_tokens": 4000},
    "messages": {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 4000},
}
KINDS = tuple(BODIES)


@pytest.fixture(scope="module")
def sidecar(module_bench):
    """One sidecar as it comes: OpenAI is taken to bill abandoned streams whole, of Anthropic nothing is known."""
    return module_bench.sidecar()


@pytest.fixture
def http(sidecar, client):
    """A client through it."""
    return client(sidecar)


def _said(fault="", **said):
    return {"x-sim-fault": fault, **{f"x-sim-{k.replace('_', '-')}": str(v) for k, v in said.items()}}


def _post(http, kind, fault="", *, stream=False, body=None, **said):
    return http.post(HOSTS[kind], json={**BODIES[kind], "stream": stream, **(body or {})}, headers=_said(fault, **said))


def _leave_unary(http, kind, seconds=0.3, **said):
    """Calls, and hangs up before the answer."""
    with pytest.raises(httpx2.ReadTimeout):
        http.post(HOSTS[kind], json=BODIES[kind], headers=_said(**said), timeout=httpx2.Timeout(10, read=seconds))


def _leave_stream(http, kind, body=None, pieces_read=1, **said):
    """Calls, reads the first pieces of the stream, and hangs up."""
    with http.stream(
        "POST", HOSTS[kind], json={**BODIES[kind], "stream": True, **(body or {})}, headers=_said(**said)
    ) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_raw()
        for _ in range(pieces_read):
            next(pieces)


def _grown(bench, before, calls=1):
    """What the books and the bill grew by since `before`, once the calls have settled: (spent, estimated)."""
    books = bench.settled(before.calls() + calls)
    assert books.calls() == before.calls() + calls
    return books.spent - before.spent, books.estimated - before.estimated


# -- before the first byte


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 529])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_provider_passes_unchanged_and_costs_nothing(module_bench, sidecar, http, kind, status):
    """Status, body and Retry-After arrive as sent; the call is booked at 0."""
    before = module_bench.settled()
    errors = sidecar.metric("calls_total", provider=_provider(kind), outcome="error")
    answer = _post(http, kind, str(status), stream=status == 500, retry_after=7)
    assert answer.status_code == status
    assert answer.headers["retry-after"] == "7"
    assert "asked to answer" in answer.json()["error"]["message"]
    assert not any(name.startswith("x-wfb") for name in answer.headers)
    assert _grown(module_bench, before) == (0, 0)
    assert sidecar.metric("calls_total", provider=_provider(kind), outcome="error") == errors + 1


def _provider(kind):
    return "anthropic" if kind == "messages" else "openai"


def test_a_provider_that_refuses_the_connection_costs_nothing(make_bench, client):
    """The client gets a 502 of ours, the call is booked at 0, and the failure is counted."""
    bench = make_bench()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        sidecar = bench.sidecar(connect_to={"api.openai.com:443": f"127.0.0.1:{taken.getsockname()[1]}"})
        answer = _post(client(sidecar), "chat")
    assert answer.status_code == 502
    books = bench.settled(1)
    assert (books.spent, books.calls(outcome="error")) == (0, 1)
    assert sidecar.metric("connect_errors_total") == 1


# -- the client leaves


@pytest.mark.parametrize("kind", KINDS)
def test_a_unary_answer_is_read_to_its_end_without_its_client(module_bench, sidecar, http, kind):
    """The provider bills the whole answer: the real usage is booked, not an estimate."""
    before, billed = module_bench.settled(), module_bench.bill()
    _leave_unary(http, kind, latency_ms=700, output_tokens=50)
    spent, estimated = _grown(module_bench, before)
    assert spent == module_bench.bill() - billed > 0
    assert estimated == 0
    assert sidecar.metric("calls_total", provider=_provider(kind), outcome="disconnected") > 0
    assert module_bench.bill_lines()[-1].cut is False


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_stream_that_is_billed_whole_is_read_on(module_bench, http, kind):
    """OpenAI's row says that a left stream is billed to its end: it is read to its end, and booked exactly."""
    before, billed = module_bench.settled(), module_bench.bill()
    _leave_stream(http, kind, output_tokens=120, pace_ms=20)
    spent, estimated = _grown(module_bench, before)
    assert spent == module_bench.bill() - billed
    assert estimated == 0
    line = module_bench.bill_lines()[-1]
    assert (line.usage.output, line.cut) == (120, False)


def test_a_stream_that_may_be_closed_is_closed_and_estimated(make_bench, client):
    """Where nothing says otherwise the provider is told to stop; the estimate covers what it made, never the hold."""
    bench = make_bench()
    bench.behave(bill_cut="made")
    _leave_stream(client(bench.sidecar()), "messages", pieces_read=4, output_tokens=2000, pace_ms=100)
    books = bench.settled(1)
    (line,) = bench.bill_lines()
    assert line.cut
    assert line.usage.output < 2000
    assert bench.bill() <= books.spent
    assert books.estimated == books.spent == books.nanos(outcome="disconnected", estimated=True)
    (decision,) = bench.decisions()
    assert (decision["kind"], decision["cost_usd"]) == ("estimate", _usd(books.spent))
    assert books.spent < _hold_of(decision)


def test_a_configured_provider_is_closed_too(make_bench, client):
    """`bills_cut_streams_whole` of the configuration overrides the table."""
    bench = make_bench()
    bench.behave(bill_cut="made")
    _leave_stream(
        client(bench.sidecar(bills_cut_streams_whole={"openai": False})), "chat", output_tokens=2000, pace_ms=10
    )
    books = bench.settled(1)
    assert bench.bill_lines()[0].usage.output < 2000
    assert bench.bill() <= books.spent == books.estimated


def test_on_disconnect_close_overrides_the_table(make_bench, client):
    """A budget that says Close closes even OpenAI's stream."""
    bench = make_bench(onDisconnect="Close")
    bench.behave(bill_cut="made")
    _leave_stream(client(bench.sidecar()), "chat", output_tokens=2000, pace_ms=10)
    books = bench.settled(1)
    assert bench.bill_lines()[0].cut
    assert bench.bill() <= books.spent == books.estimated


def test_on_disconnect_read_on_overrides_the_table(make_bench, client):
    """A budget that says ReadOn reads even Anthropic's stream to its end."""
    bench = make_bench(onDisconnect="ReadOn")
    _leave_stream(client(bench.sidecar()), "messages", output_tokens=120, pace_ms=20)
    books = bench.settled(1)
    assert bench.bill_lines()[0].usage.output == 120
    assert (books.spent, books.estimated) == (bench.bill(), 0)


def test_a_stream_is_read_on_though_its_connection_served_a_call_before(make_bench, client):
    """Reading on waits for this answer's end, not for the end of the one before it."""
    bench = make_bench(onDisconnect="ReadOn")
    http = client(bench.sidecar())
    assert _post(http, "chat").status_code == 200
    _leave_stream(http, "chat", output_tokens=120, pace_ms=20)
    books = bench.settled(2)
    assert (books.spent, books.estimated) == (bench.bill(), 0)


def test_a_closed_stream_that_may_have_reasoned_is_settled_at_its_hold(make_bench, client):
    """Hidden output never passed: only the hold is sure to cover it."""
    bench = make_bench(onDisconnect="Close")
    bench.behave(bill_cut="made")
    body = {"model": "gpt-5", "max_tokens": None, "max_completion_tokens": 3000}
    _leave_stream(client(bench.sidecar()), "chat", body, output_tokens=2900, reasoning_tokens=2000, pace_ms=10)
    books = bench.settled(1)
    assert bench.bill() <= books.spent == books.estimated
    (decision,) = bench.decisions()
    assert decision["cost_usd"] == decision["hold_usd"]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("kind", ["chat", "messages"])
def test_a_client_that_leaves_a_hanging_provider_costs_its_hold_at_most(make_bench, client, monkeypatch, kind, stream):
    """No byte of an answer ever came: what was made is not known, and counts at the hold, marked estimated."""
    monkeypatch.setattr(simulated, "HANG_SECONDS", 0.6)
    bench = make_bench()
    http = client(bench.sidecar())
    with pytest.raises(httpx2.ReadTimeout):
        http.post(
            HOSTS[kind],
            json={**BODIES[kind], "stream": stream},
            headers=_said("hang"),
            timeout=httpx2.Timeout(10, read=0.3),
        )
    books = bench.settled(1)
    assert bench.bill() <= books.spent == books.estimated
    assert books.calls(outcome="disconnected") == 1


# -- the provider breaks off, or says nonsense


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_cut_by_the_provider_is_estimated(module_bench, http, kind):
    """The client sees the break; what was billed is covered by a marked estimate."""
    before, billed = module_bench.settled(), module_bench.bill()
    with pytest.raises(httpx2.RemoteProtocolError):
        _post(http, kind, "cut", stream=True, output_tokens=64)
    spent, estimated = _grown(module_bench, before)
    assert spent == estimated >= module_bench.bill() - billed


@pytest.mark.parametrize("kind", KINDS)
def test_one_malformed_frame_changes_nothing(module_bench, http, kind):
    """The frame passes as it is, and the usage behind it is read."""
    with module_bench.balanced():
        answer = _post(http, kind, "malformed-frame", stream=True)
    assert answer.status_code == 200
    frames = [frame.rpartition(b"data: ")[2] for frame in answer.content.split(b"\n\n")]
    assert sum(frame.startswith(b"{") and not frame.endswith(b"}") for frame in frames) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fault", ["broken-usage", "no-usage", "not-json", "truncate"])
@pytest.mark.parametrize("kind", KINDS)
def test_usage_that_does_not_come_is_estimated_and_covers_the_bill(module_bench, http, kind, fault, stream):
    """Whatever a good status hides, the books are not below the bill, and the estimate is marked and explained."""
    before, billed = module_bench.settled(), module_bench.bill()
    try:
        answer = _post(http, kind, fault, stream=stream, output_tokens=3000)
        assert answer.status_code == 200
    except httpx2.RemoteProtocolError:
        assert (fault, stream) == ("truncate", False)
    spent, estimated = _grown(module_bench, before)
    assert spent == estimated >= module_bench.bill() - billed > 0
    decision = module_bench.decisions()[0]
    assert (decision["kind"], decision["reason"]) == ("estimate", "UsageEstimated")
    assert decision["message"]
    assert spent <= _hold_of(decision)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_compressed_unasked_is_read_all_the_same(module_bench, http, kind, stream):
    """The bytes pass compressed, the usage is read from a decoded copy."""
    with (
        module_bench.balanced(),
        http.stream("POST", HOSTS[kind], json={**BODIES[kind], "stream": stream}, headers=_said("gzip")) as answer,
    ):
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw)


def test_answers_with_one_id_are_all_booked(module_bench, http):
    """A call is known by our own number, never by the provider's id."""
    with module_bench.balanced(3):
        ids = {_post(http, "chat", "repeat-id").json()["id"] for _ in range(3)}
    assert len(ids) == 1


# -- waiting for money


def _one_at_a_time(make_bench):
    """A bench whose limit has room for one call's hold only."""
    return make_bench(usd="0.06", outputBound="Strict", waitSeconds=10)


def test_a_call_waits_for_the_money_of_another_and_then_goes(make_bench, client):
    """The hold of a neighbour delays a call and does not refuse it."""
    bench = _one_at_a_time(make_bench)
    sidecar = bench.sidecar()
    with _in_flight(bench, sidecar, client, latency_ms=600):
        answer = _post(client(sidecar), "chat")
    assert answer.status_code == 200
    books = bench.settled(2)
    assert books.spent == bench.bill()


def test_a_client_that_leaves_while_it_waits_gives_up_its_place(make_bench, client):
    """Nothing is forwarded for it and nothing stays held."""
    bench = _one_at_a_time(make_bench)
    sidecar = bench.sidecar()
    with _in_flight(bench, sidecar, client, latency_ms=1500):
        _leave_unary(client(sidecar), "chat", 0.2)
        until(lambda: not sidecar.call(lambda: sidecar.parts.till.wallet.waiting), "the place being given up")
        assert sidecar.call(lambda: len(sidecar.parts.till.wallet.holds)) == 1
    books = bench.settled(1)
    assert books.calls() == 1
    assert len(bench.seen()) == 1
    assert books.spent == bench.bill()


@contextmanager
def _in_flight(bench, sidecar, client, **said):
    """A call that is in flight inside the block, and ends well after it."""
    answers = []
    http = client(sidecar)
    thread = threading.Thread(target=lambda: answers.append(_post(http, "chat", **said)))
    thread.start()
    until(bench.seen, "the call reaching the provider")
    yield
    thread.join(20)
    assert [answer.status_code for answer in answers] == [200]


def _hold_of(decision):
    return parse_usd(decision["hold_usd"])


def _usd(nanos):
    return format_usd(nanos)


def test_the_client_sees_the_bytes_that_the_provider_sent(module_bench, sidecar, http):
    """Apart from the frame that only we asked for, a stream passes byte for byte."""
    asked = {"stream_options": {"include_usage": True}}
    with module_bench.balanced(2):
        whole = _post(http, "chat", stream=True, body=asked, label="whole").content
        quiet = _post(http, "chat", stream=True, label="quiet").content
    frames = whole.split(b"\n\n")
    shown = [json.loads(f.removeprefix(b"data: "))["choices"] for f in frames if f.startswith(b"data: {")]
    theirs = [
        json.loads(f.removeprefix(b"data: "))["choices"] for f in quiet.split(b"\n\n") if f.startswith(b"data: {")
    ]
    assert theirs == [c for c in shown if c]
    assert whole.endswith(b"data: [DONE]\n\n")
    assert quiet.endswith(b"data: [DONE]\n\n")


def test_what_is_settled_is_written_down_before_anybody_is_told(make_bench, client):
    """A kill right after a call counts it at its cost: its hold is not in the wallet's file any more."""
    bench = make_bench(usd="100.00")
    sidecar = bench.sidecar()
    http = client(sidecar)
    small = {"max_tokens": 50}
    for _ in range(4):
        assert _post(http, "chat", body=small).status_code == 200
    bench.settled(4)
    bench.ledger_away()
    assert _post(http, "chat", body=small).status_code == 200
    until(lambda: not sidecar.call(lambda: sidecar.parts.calls.settling.in_flight), "the call's end")
    file = WalletFile(f"{sidecar.document['state_dir']}/wallet")
    ((_, used, held),) = file.load().purses.values()
    file.close()
    assert (used, held) == (bench.bill(), 0)
    bench.ledger_back()
