"""What holds for every recording, however odd: a row an entry, in order, that never counts a part beyond its whole."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfb_core.host_table import known_hosts
from wfb_core.price import PriceBook
from wfb_operator.meter import har, reasons, recording
from wfb_operator.meter.exchange import NotReadableError
from wfb_operator.meter.measure import Measure
from wfb_operator.prices.compile import compile_snapshot

TARGETS = [
    ("POST", "https://api.openai.com/v1/chat/completions"),
    ("POST", "https://api.openai.com/v1/responses"),
    ("GET", "https://api.openai.com/v1/responses/resp_1"),
    ("POST", "https://api.openai.com/v1/audio/transcriptions"),
    ("POST", "https://api.openai.com/v1/images/generations"),
    ("GET", "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
    ("POST", "https://api.anthropic.com/v1/messages"),
    ("POST", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent"),
    ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse-stream"),
    ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-v2/invoke"),
    ("POST", "https://api.cohere.com/v2/chat"),
    ("POST", "https://api.mistral.ai/v1/ocr"),
    ("POST", "http://localhost:11434/api/chat"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["base64", "gzip"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.dictionaries(
    st.sampled_from(
        [
            *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"),
            *("prompt_tokens_details", "completion_tokens_details", "cached_tokens", "reasoning_tokens", "iterations"),
            *("inputTokens", "outputTokens", "cacheReadInputTokens", "promptTokenCount", "thoughtsTokenCount"),
            *("cache_read_input_tokens", "cache_creation_input_tokens", "billed_units", "cost", "seconds"),
        ]
    ),
    st.integers(-1, 50) | st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), st.integers(0, 99)),
)
PLACES = [
    ("_id",),
    ("startedDateTime",),
    ("request",),
    ("request", "method"),
    ("request", "url"),
    ("request", "headers"),
    ("request", "postData"),
    ("request", "postData", "text"),
    ("response",),
    ("response", "status"),
    ("response", "headers"),
    ("response", "content"),
    ("response", "content", "text"),
    ("response", "content", "encoding"),
    ("_webSocketMessages",),
]


@pytest.fixture(scope="module")
def prices():
    """All providers' prices."""
    return PriceBook.from_snapshot(compile_snapshot("now", None).data)


def _entry(target, answer):
    return {
        "_id": "e",
        "startedDateTime": "2026-11-01T12:00:00Z",
        "request": {
            "method": target[0],
            "url": target[1],
            "headers": [],
            "postData": {"mimeType": "application/json", "text": '{"model": "gpt-4o", "messages": []}'},
        },
        "response": {
            "status": 200,
            "headers": [],
            "content": {"mimeType": "application/json", "text": json.dumps(answer)},
        },
    }


def _odd(entry, place, value):
    entry = copy.deepcopy(entry)
    part = entry
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    return entry


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    target=st.sampled_from(TARGETS),
    counts=COUNTS,
    place=st.sampled_from(PLACES),
    value=JSON,
    messages=st.none() | st.lists(JSON, max_size=3),
)
def test_every_entry_makes_a_row_with_a_documented_reason(prices, target, counts, place, value, messages):
    """Nothing that stands in an entry can stop the metering of those that follow it."""
    answer = {"model": "gpt-4o", "usage": counts, "usageMetadata": counts, "meta": {"billed_units": counts}}
    odd = _odd(_entry(target, answer), place, value)
    if messages is not None:
        odd["_webSocketMessages"] = [{"type": "receive", "opcode": 1, "data": json.dumps(m)} for m in messages]
    measure = Measure(known_hosts(), prices)

    rows = [measure.row(exchange) for exchange in har.exchanges([odd, _entry(target, answer), odd])]

    assert len(rows) == 3
    for row in rows:
        assert row.reason in reasons.SENTENCES
        assert json.dumps(row.document())
        assert row.billable or not row.nanos
        if row.input_tokens is not None:
            assert max(row.cache_read_tokens, row.cache_write_tokens) <= row.input_tokens
            assert row.reasoning_tokens <= row.output_tokens


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | JSON.map(json.dumps).map(str.encode))
def test_any_file_is_read_or_refused(data):
    """Bytes that are no recording are refused with one sentence, and nothing else happens."""
    try:
        found, count = recording.opened(data)
        read, refusal = list(found), ""
    except NotReadableError as e:
        read, count, refusal = [], None, str(e)

    assert count in {None, len(read)}
    assert "\n" not in refusal
