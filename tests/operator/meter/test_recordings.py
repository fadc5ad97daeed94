"""Reading recordings: HAR in all its dialects, mitmproxy's flow files, and every kind of damage."""

import base64
import gzip
import io
import json
import subprocess
import sys
import zlib

import pytest
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from wfb_operator.meter import flow, har, reasons, recording
from wfb_operator.meter.exchange import NotReadableError

ANSWER = '{"usage": {"prompt_tokens": 1}}'
SQUEEZED = base64.b64encode(gzip.compress(ANSWER.encode())).decode()


def _entry(content=None, headers=(), **more):
    entry = {
        "_id": "a",
        "startedDateTime": "2026-11-01T12:00:00.000+01:00",
        "request": {
            "method": "post",
            "url": "https://api.openai.com/v1/chat/completions",
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": "{}"},
        },
        "response": {
            "status": 200,
            "headers": [{"name": name, "value": value} for name, value in headers],
            "content": {"mimeType": "application/json", "text": ANSWER} if content is None else content,
        },
    }
    return {**entry, **more}


def _read(entry):
    (exchange,) = har.exchanges([entry])
    return exchange


def test_an_entry_is_read_whole():
    """Time, method, URL, headers and bodies, names of headers in lower case."""
    exchange = _read(_entry(headers=[("X-A", "1"), ("x-a", "2")]))

    assert exchange.id == "a"
    assert exchange.at == 1_793_530_800.0
    assert (exchange.method, exchange.status) == ("POST", 200)
    assert exchange.headers == {"x-a": "1, 2", "content-type": "application/json"}
    assert (exchange.request_body, exchange.body, exchange.damage) == (b"{}", ANSWER.encode(), None)


MESSAGE = b"\0\0\0\x10\0\0\0\0" + zlib.crc32(b"\0\0\0\x10\0\0\0\0").to_bytes(4, "big")
MESSAGE += zlib.crc32(MESSAGE).to_bytes(4, "big")
CONTENTS = [
    ({"text": base64.b64encode(MESSAGE).decode(), "encoding": "base64"}, [("content-encoding", "br")], MESSAGE, None),
    ({"text": MESSAGE.decode("latin-1"), "mimeType": har.EVENT_STREAM}, [], MESSAGE, None),
    ({"text": SQUEEZED, "encoding": "base64"}, [("content-encoding", "gzip")], ANSWER.encode(), None),
    ({"text": SQUEEZED, "encoding": "base64"}, [], ANSWER.encode(), None),
    ({"text": ANSWER}, [("content-encoding", "br")], ANSWER.encode(), None),
    ({"text": {"usage": {}}}, [], b'{"usage": {}}', None),
    (
        {"text": base64.b64encode(b'{"t": "15\xb0"}').decode(), "encoding": "base64"},
        [],
        '{"t": "15\ufffd"}'.encode(),
        None,
    ),
    ({"text": "!!!", "encoding": "base64"}, [], b"", reasons.BODY_DAMAGED),
    ({"text": "gIGCg4SF", "encoding": "base64"}, [("content-encoding", "br")], b"", reasons.ENCODING_NOT_READ),
    ({"text": "gIGCg4SF", "encoding": "base64"}, [("content-encoding", "odd")], b"", reasons.ENCODING_NOT_READ),
    ({}, [], b"", reasons.BODY_MISSING),
    ({"text": ""}, [], b"", reasons.BODY_MISSING),
    ({"text": "\ud800"}, [], b"\xed\xa0\x80", None),
    ({"text": "\x00\xff", "mimeType": har.EVENT_STREAM}, [], b"\x00\xff", None),
    ({"text": "\x00\ufffd", "mimeType": har.EVENT_STREAM}, [], b"", reasons.BODY_DAMAGED),
    ({"text": gzip.compress(ANSWER.encode()).decode("latin-1")}, [], ANSWER.encode(), None),
    ({"text": SQUEEZED[:30] + "\r\n" + SQUEEZED[30:], "encoding": "base64"}, [], ANSWER.encode(), None),
]


@pytest.mark.parametrize(("content", "headers", "body", "damage"), CONTENTS)
def test_bodies_are_decoded_or_their_damage_is_named(content, headers, body, damage):
    """Most recorders decode a body and keep its header; some do not; some write bytes as text."""
    exchange = _read(_entry(content, headers))

    assert (exchange.body, exchange.damage) == (body, damage)


POSTED = [
    ({"text": SQUEEZED, "encoding": "base64"}, "application/json", ANSWER.encode()),
    ({"text": "{}"}, "application/json", b"{}"),
    ({"text": base64.b64encode(b'{"model": "m"}').decode()}, "application/json", b'{"model": "m"}'),
    ({"text": {"model": "m"}}, "application/json", b'{"model": "m"}'),
    ({"params": [{"name": "model", "value": "a b"}]}, "application/x-www-form-urlencoded", b"model=a+b"),
    (
        {"params": [{"name": "model", "value": "whisper-1"}, {"name": "file", "fileName": "a.mp3"}]},
        'multipart/form-data; boundary="b"',
        (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n\r\n--b--\r\n'
        ),
    ),
    ({}, "application/json", b""),
    (None, "application/json", b""),
]


@pytest.mark.parametrize(("posted", "kind", "body"), POSTED)
def test_what_was_asked_is_read_however_it_was_written_down(posted, kind, body):
    """As text, in base64, compressed, as a document, or by the fields of a form."""
    entry = _entry()
    entry["request"]["headers"] = []
    entry["request"]["postData"] = posted and {"mimeType": kind, **posted}

    assert _read(entry).request_body == body


TIMES = [
    ("2026-11-01T12:00:00.0000000Z", 1_793_534_400.0),
    ("2026-11-01T13:00:00+01:00", 1_793_534_400.0),
    ("2026-11-01T12:00:00", 1_793_534_400.0),
    ("yesterday", None),
    ("0001-01-01T00:00:00+14:00", None),
    ("0001-01-01T00:00:00Z", None),
    (17, None),
]


@pytest.mark.parametrize(("text", "at"), TIMES)
def test_a_time_is_read_with_its_offset(text, at):
    """In the offset that it names, else in UTC; what is no time is not known."""
    assert _read(_entry(startedDateTime=text)).at == at


@pytest.mark.parametrize(
    "entry", [None, 5, {}, {"request": {}}, {"request": {"url": 5}}, _entry(response={"status": "x"})]
)
def test_an_entry_that_is_none_makes_a_row_all_the_same(entry):
    """The order of entries is that of the rows, so nothing is left out."""
    assert _read(entry).damage == reasons.ENTRY_DAMAGED


LAYOUTS = [
    lambda entries: json.dumps({"log": {"version": "1.2", "entries": entries}}),
    lambda entries: "\ufeff" + json.dumps({"log": {"entries": entries}}),
    lambda entries: json.dumps({"entries": entries}),
    lambda entries: json.dumps(entries),
    lambda entries: "\n".join(json.dumps(entry) for entry in entries),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_har_is_known_in_all_its_layouts(layout):
    """A whole HAR, one with a byte order mark, its log alone, a list of entries, an entry a line."""
    assert len(har.entries_of(layout([_entry(), _entry()]).encode())) == 2


DAMAGED = [
    ('{"log": {"entries": [%s, {"request', 1, 2),
    ("[%s, %s, oops", 2, 3),
    ("%s\n{oops\n%s", 2, 3),
    ("%s", 1, 1),
]


@pytest.mark.parametrize(("text", "whole", "all_entries"), DAMAGED)
def test_what_is_whole_in_a_damaged_file_is_still_read(text, whole, all_entries):
    """A HAR that breaks off keeps the entries before the break; of lines, only the damaged ones are lost."""
    entries = har.entries_of(text.replace("%s", json.dumps(_entry())).encode())

    assert (len(entries), entries.count(_entry())) == (all_entries, whole)
    assert [e.damage for e in har.exchanges(entries)].count(reasons.ENTRY_DAMAGED) == all_entries - whole


def test_a_har_in_utf_16_is_read():
    """Windows' shells write redirected output so."""
    assert har.entries_of(json.dumps([_entry()]).encode("utf-16")) == [_entry()]


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b'{"log": {"entries": 5}}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_recording_is_refused_in_one_sentence(data):
    """What was expected is said; nothing is guessed."""
    with pytest.raises(NotReadableError, match=r"HAR|empty"):
        har.entries_of(data)


def test_the_messages_of_a_websocket_are_read():
    """Chrome writes them beside the entry, binary ones in base64."""
    messages = [
        {"type": "send", "opcode": 1, "data": "{}"},
        {"type": "receive", "opcode": 2, "data": base64.b64encode(b"\0\1").decode()},
    ]

    assert _read(_entry(_webSocketMessages=messages)).messages == ((True, b"{}"), (False, b"\0\1"))


def _flows(*flows):
    file = io.BytesIO()
    writer = FlowWriter(file)
    for one in flows:
        writer.add(one)
    return file.getvalue()


def test_a_flow_file_is_read():
    """What `mitmdump -w` writes: bodies decoded, times and ids kept, other protocols left out."""
    one = tflow.tflow(resp=True)
    one.response = http.Response.make(200, ANSWER, {"content-encoding": "gzip"})
    data = _flows(one, tflow.ttcpflow())

    (exchange,) = flow.exchanges(data)

    assert recording.looks_like_flows(data)
    assert (exchange.id, exchange.status, exchange.body) == (one.id, 200, ANSWER.encode())
    assert exchange.at == one.request.timestamp_start


def test_what_follows_a_damaged_flow_is_one_damaged_row():
    """The flows before it are still read."""
    data = _flows(tflow.tflow(resp=True)) + b"99:garbage"

    assert [e.damage for e in flow.exchanges(data)] == [None, reasons.ENTRY_DAMAGED]


def test_a_file_that_only_begins_like_flows_is_refused():
    """Nothing in it could be read."""
    with pytest.raises(NotReadableError, match="no mitmproxy flow file"):
        list(flow.exchanges(b"12:nonsense"))


def test_a_flow_through_a_transparent_proxy_is_named_by_its_host_header():
    """Such a proxy knows only the address that was dialled."""
    one = tflow.tflow(resp=True)
    one.request.scheme, one.request.host, one.request.port = "https", "192.0.2.1", 443
    one.request.headers["host"] = "api.openai.com"  # last: setting the others sets it too

    (exchange,) = flow.exchanges(_flows(one))

    assert exchange.url == "https://api.openai.com/path"


def test_the_messages_of_a_websocket_flow_are_read():
    """Both directions, in order."""
    one = tflow.twebsocketflow()

    (exchange,) = flow.exchanges(_flows(one))

    assert exchange.messages == tuple((m.from_client, m.content) for m in one.websocket.messages)


def test_a_flow_whose_answer_never_came_has_no_status():
    """The connection broke."""
    (exchange,) = flow.exchanges(_flows(tflow.tflow(err=True)))

    assert (exchange.status, exchange.body) == (0, b"")


def test_a_flow_file_without_mitmproxy_says_what_to_install(monkeypatch):
    """It is an extra; HAR is read without it."""
    monkeypatch.delattr("wfb_operator.meter.flow")
    monkeypatch.setitem(sys.modules, "wfb_operator.meter.flow", None)
    with pytest.raises(NotReadableError, match="install"):
        recording.opened(_flows(tflow.tflow()))


def test_har_is_read_without_mitmproxy():
    """Neither opening nor measuring a HAR loads it."""
    code = "import sys, wfb_operator.meter.recording, wfb_operator.meter.measure; sys.exit('mitmproxy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
