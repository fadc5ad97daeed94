"""Reading recordings: HAR in all its dialects, mitmproxy's flow files, and every kind of damage."""

import base64
import gzip
import io
import json

import pytest
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from wfb_operator.meter import flow, har, reasons
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


CONTENTS = [
    ({"text": SQUEEZED, "encoding": "base64"}, [("content-encoding", "gzip")], ANSWER.encode(), None),
    ({"text": SQUEEZED, "encoding": "base64"}, [], ANSWER.encode(), None),
    ({"text": ANSWER}, [("content-encoding", "br")], ANSWER.encode(), None),
    ({"text": {"usage": {}}}, [], b'{"usage": {}}', None),
    ({"text": "!!!", "encoding": "base64"}, [], b"", reasons.BODY_DAMAGED),
    ({"text": "gIGCg4SF", "encoding": "base64"}, [("content-encoding", "br")], b"", reasons.ENCODING_NOT_READ),
    ({"text": "gIGCg4SF", "encoding": "base64"}, [("content-encoding", "odd")], b"", reasons.ENCODING_NOT_READ),
    ({}, [], b"", reasons.BODY_MISSING),
    ({"text": ""}, [], b"", reasons.BODY_MISSING),
    ({"text": "\ud800"}, [], b"\xed\xa0\x80", None),
    ({"text": "\x00\xff", "mimeType": har.EVENT_STREAM}, [], b"\x00\xff", None),
]


@pytest.mark.parametrize(("content", "headers", "body", "damage"), CONTENTS)
def test_bodies_are_decoded_or_their_damage_is_named(content, headers, body, damage):
    """Most recorders decode a body and keep its header; some do not; some write bytes as text."""
    exchange = _read(_entry(content, headers))

    assert (exchange.body, exchange.damage) == (body, damage)


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

    assert flow.looks_like_flows(data)
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
