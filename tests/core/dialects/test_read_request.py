"""What each dialect reads out of a request, field by field."""

import dataclasses
import gzip
import json
import pathlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core import reasons
from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS, NotUnderstood
from wfb_core.dialects import request as request_module
from wfb_core.dialects.text_size import text_bytes

WITH_SDK = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects whose samples and SDKs this file knows; the others have files of their own."""

SAMPLES = pathlib.Path(__file__).parent / "samples"
CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
LEAST = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"model": "m", "input": "hi"},
    MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
}
PNG = "iVBORw0KGgo="


def read(dialect, document, headers=None):
    """The facts of a document."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    facts, _ = DIALECTS[dialect].read_request("POST", "/", headers or {}, body)
    return facts


def with_(dialect, **fields):
    """The facts of the least request and some more fields."""
    return read(dialect, {**LEAST[dialect], **fields})


def user(*parts):
    """One user message with these content parts."""
    return [{"role": "user", "content": list(parts)}]


WHOLE = {
    CHAT: CallFacts(
        dialect=CHAT,
        provider="openai",
        operation="chat.completions",
        model="gpt-4o",
        stream=True,
        cap=500,
        choices=2,
        tier="flex",
        messages=2,
        tools=1,
        media=(("document", 9), ("audio", 9), ("image", 0), ("image", 18)),
        hidden_input=("file_id", "image_url"),
        wants_usage_chunk=False,
    ),
    RESPONSES: CallFacts(
        dialect=RESPONSES,
        provider="openai",
        operation="responses",
        model="gpt-5.6",
        stream=True,
        cap=700,
        tier="priority",
        messages=5,
        tools=2,
        media=(("document", 9), ("image", 0), ("image", 18)),
        hidden_input=("document_url", "file_id", "item_reference", "previous_response_id"),
        unbounded=("web_search",),
    ),
    MESSAGES: CallFacts(
        dialect=MESSAGES,
        provider="anthropic",
        operation="messages",
        model="claude-haiku-4-5",
        stream=True,
        cap=4096,
        messages=4,
        tools=2,
        media=(("document", 9), ("image", 0), ("image", 18), ("image", 9)),
        hidden_input=("file_id", "image_url"),
        unbounded=("web_search",),
        cache_write=True,
        cache_write_1h=True,
        reasoning=True,
    ),
}


@pytest.mark.parametrize("dialect", WHOLE)
def test_a_full_request_gives_every_fact(dialect):
    """Each sample uses most of its API; all but the text's size is compared whole."""
    facts = read(dialect, (SAMPLES / dialect / "request.json").read_bytes())
    measured = dataclasses.replace(
        facts, input_bytes=0, media=tuple(sorted(facts.media)), hidden_input=tuple(sorted(facts.hidden_input))
    )

    assert measured == dataclasses.replace(WHOLE[dialect], media=tuple(sorted(WHOLE[dialect].media)))


@pytest.mark.parametrize("dialect", WHOLE)
def test_all_text_is_counted_and_no_payload(dialect):
    """The count is at least every string a model may read, and far below the payloads' own."""
    sample = json.loads((SAMPLES / dialect / "request.json").read_bytes())
    facts = read(dialect, sample)
    big = json.loads(json.dumps(sample).replace("iVBORw0KGgoAAAANSUhEUg==", "iVBO" * 50_000))

    assert facts.input_bytes >= sum(map(len, ["Be brief.", "What is on it?", "look_up", "Köln", "properties"]))
    assert read(dialect, big).input_bytes == facts.input_bytes
    assert max(size for _, size in read(dialect, big).media) == 150_000


TEXT_PLACES = [
    (CHAT, lambda t: {"messages": [{"role": "user", "content": t}]}),
    (CHAT, lambda t: {"messages": user({"type": "text", "text": t})}),
    (CHAT, lambda t: {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": t}}]}]}),
    (CHAT, lambda t: {"messages": user({"type": "unheard_of", "blob": t})}),
    (CHAT, lambda t: {"tools": [{"type": "function", "function": {"description": t}}]}),
    (CHAT, lambda t: {"tools": [{"type": "function", "function": {"parameters": {"properties": {t: {}}}}}]}),
    (CHAT, lambda t: {"tools": [{"type": "input_audio", "input_audio": {"data": t}}]}),
    (CHAT, lambda t: {"functions": [{"name": "f", "description": t}]}),
    (CHAT, lambda t: {"response_format": {"json_schema": {"schema": {"enum": [t]}}}}),
    (CHAT, lambda t: {"prediction": {"type": "content", "content": t}}),
    (CHAT, lambda t: {"tool_choice": {"function": {"name": t}}}),
    (CHAT, lambda t: {"a_field_of_next_year": [t]}),
    (RESPONSES, lambda t: {"input": t}),
    (RESPONSES, lambda t: {"instructions": t}),
    (RESPONSES, lambda t: {"input": [{"type": "function_call_output", "call_id": "c", "output": t}]}),
    (RESPONSES, lambda t: {"input": [{"type": "function_call", "arguments": t}]}),
    (RESPONSES, lambda t: {"input": [{"type": "reasoning", "encrypted_content": t}]}),
    (RESPONSES, lambda t: {"text": {"format": {"schema": {"description": t}}}}),
    (RESPONSES, lambda t: {"prompt": {"id": "p", "variables": {"x": t}}}),
    (RESPONSES, lambda t: {"input": [{"type": "additional_tools", "tools": [{"type": "function", "name": t}]}]}),
    (MESSAGES, lambda t: {"system": t}),
    (MESSAGES, lambda t: {"system": [{"type": "text", "text": t}]}),
    (MESSAGES, lambda t: {"messages": user({"type": "tool_result", "content": t})}),
    (MESSAGES, lambda t: {"messages": user({"type": "tool_result", "content": [{"type": "text", "text": t}]})}),
    (MESSAGES, lambda t: {"messages": user({"type": "document", "source": {"type": "text", "data": t}})}),
    (MESSAGES, lambda t: {"messages": user({"type": "tool_use", "input": {"type": "image", "source": {"data": t}}})}),
    (
        MESSAGES,
        lambda t: {
            "messages": user({"type": "tool_use", "input": {"type": "image", "source": {"type": "base64", "data": t}}})
        },
    ),
    (MESSAGES, lambda t: {"tools": [{"name": "f", "input_schema": {"properties": {"x": {"description": t}}}}]}),
    (MESSAGES, lambda t: {"tool_choice": {"type": "tool", "name": t}}),
    (MESSAGES, lambda t: {"output_config": {"format": {"schema": {t: 1}}}}),
]


@pytest.mark.parametrize(("dialect", "place"), TEXT_PLACES)
@pytest.mark.parametrize("text", ["x" * 1000, "Grüße\n" * 100, "\ufdfa" * 50])
def test_text_counts_wherever_the_model_reads_it(dialect, place, text):
    """Decoded, not as escaped; a text that looks like a payload where none can be counts as well."""
    grown = with_(dialect, **place(text)).input_bytes - with_(dialect, **place("")).input_bytes

    assert grown == text_bytes(text)


NO_INPUT = [(CHAT, "metadata"), (CHAT, "safety_identifier"), (RESPONSES, "metadata"), (MESSAGES, "metadata")]


@pytest.mark.parametrize(("dialect", "field"), NO_INPUT)
def test_what_the_model_never_reads_is_not_counted(dialect, field):
    """Labels of a request are no input."""
    value = {"user_id": "x" * 500} if field == "metadata" else "x" * 500

    assert with_(dialect, **{field: value}).input_bytes == with_(dialect).input_bytes


FACTS = [
    # caps and choices
    (CHAT, {}, {"cap": None, "choices": 1, "stream": False, "wants_usage_chunk": True, "tier": None, "messages": 1}),
    (CHAT, {"max_tokens": 7}, {"cap": 7}),
    (CHAT, {"max_completion_tokens": 8}, {"cap": 8}),
    (CHAT, {"max_completion_tokens": 8, "max_tokens": 9}, {"cap": 9}),
    (CHAT, {"max_tokens": None, "n": None, "stream": None}, {"cap": None, "choices": 1, "stream": False}),
    (CHAT, {"n": 5}, {"choices": 5}),
    (RESPONSES, {"max_output_tokens": 7}, {"cap": 7}),
    (RESPONSES, {}, {"cap": None, "messages": 1}),
    (RESPONSES, {"instructions": "x", "input": [{}, {}]}, {"messages": 3}),
    (MESSAGES, {"max_tokens": 0}, {"cap": 0}),
    (MESSAGES, {"max_tokens": None}, {"cap": None}),
    (MESSAGES, {"system": "x"}, {"messages": 2}),
    (MESSAGES, {"system": [{"type": "text", "text": "x"}] * 3}, {"messages": 4}),
    # the usage chunk
    (CHAT, {"stream": True}, {"stream": True, "wants_usage_chunk": False}),
    (CHAT, {"stream": True, "stream_options": {}}, {"wants_usage_chunk": False}),
    (CHAT, {"stream": True, "stream_options": {"include_usage": False}}, {"wants_usage_chunk": False}),
    (CHAT, {"stream": True, "stream_options": {"include_usage": True}}, {"wants_usage_chunk": True}),
    (RESPONSES, {"stream": True}, {"stream": True, "wants_usage_chunk": True}),
    # tiers
    (CHAT, {"service_tier": "auto"}, {"tier": None}),
    (CHAT, {"service_tier": "default"}, {"tier": None}),
    (CHAT, {"service_tier": "ultrafast"}, {"tier": "ultrafast"}),
    (RESPONSES, {"service_tier": "flex"}, {"tier": "flex"}),
    (MESSAGES, {"service_tier": "standard_only"}, {"tier": None}),
    (MESSAGES, {"speed": "standard", "inference_geo": "global"}, {"tier": None}),
    (MESSAGES, {"speed": "fast"}, {"tier": "fast"}),
    (MESSAGES, {"speed": "fast", "inference_geo": "us"}, {"tier": "fast+geo-us"}),
    # hosted tools and whatever else has no bound
    (CHAT, {"tools": [{"type": "function"}, {"type": "custom"}]}, {"tools": 2, "unbounded": ()}),
    (CHAT, {"tools": [{"type": "secret plan"}]}, {"unbounded": ("unknown_tool",)}),
    (CHAT, {"functions": [{"name": "f"}]}, {"tools": 1}),
    (CHAT, {"web_search_options": {}}, {"unbounded": ("web_search",)}),
    (CHAT, {"model": "gpt-4o-search-preview"}, {"unbounded": ("web_search",)}),
    (CHAT, {"prediction": {"type": "content", "content": "x"}}, {"unbounded": ("prediction",)}),
    (CHAT, {"modalities": ["text"]}, {"unbounded": ()}),
    (CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "v"}}, {"unbounded": ("audio_output",)}),
    (RESPONSES, {"tools": [{"type": "local_shell"}, {"type": "apply_patch"}]}, {"unbounded": ()}),
    (RESPONSES, {"tools": [{"type": "web_search_preview_2025_03_11"}]}, {"unbounded": ("web_search",)}),
    (RESPONSES, {"tools": [{"type": "code_interpreter"}]}, {"unbounded": ("code_interpreter",)}),
    (RESPONSES, {"tools": [{"type": "file_search"}]}, {"unbounded": ("file_search",)}),
    (RESPONSES, {"tools": [{"type": "computer_use_preview"}]}, {"unbounded": ("computer",)}),
    (RESPONSES, {"tools": [{"type": "image_generation"}]}, {"unbounded": ("image_generation",)}),
    (RESPONSES, {"tools": [{"type": "mcp"}]}, {"unbounded": ("mcp",)}),
    (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "local"}}]}, {"unbounded": ()}),
    (RESPONSES, {"tools": [{"type": "shell"}]}, {"unbounded": ("shell",)}),
    (RESPONSES, {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, {"tools": 2, "unbounded": ("mcp",)}),
    (RESPONSES, {"tools": [None, "mcp", {"type": 4}]}, {"tools": 3, "unbounded": ("unknown_tool",)}),
    (RESPONSES, {"background": True}, {"unbounded": ("background",)}),
    (RESPONSES, {"context_management": [{"type": "compaction"}]}, {"unbounded": ("compaction",)}),
    (RESPONSES, {"input": [{"type": "compaction_trigger"}]}, {"unbounded": ("compaction",)}),
    (RESPONSES, {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}, {"unbounded": ("mcp",)}),
    (MESSAGES, {"tools": [{"name": "f"}, {"type": "custom"}, {"type": "bash_20250124"}]}, {"unbounded": ()}),
    (MESSAGES, {"tools": [{"type": "code_execution_20260521"}]}, {"unbounded": ("code_execution",)}),
    (MESSAGES, {"tools": [{"type": "advisor_20260301"}]}, {"unbounded": ("advisor",)}),
    (MESSAGES, {"tools": [{"type": "web_fetch_20260318"}]}, {"unbounded": ("web_fetch",)}),
    (MESSAGES, {"tools": [{"type": "new_thing_20270101"}]}, {"unbounded": ("unknown_tool",)}),
    (MESSAGES, {"mcp_servers": [{"url": "x"}]}, {"unbounded": ("mcp_servers",)}),
    (MESSAGES, {"mcp_servers": []}, {"unbounded": ()}),
    (MESSAGES, {"fallbacks": [{"model": "x"}]}, {"unbounded": ("fallbacks",)}),
    (MESSAGES, {"fallbacks": "default"}, {"unbounded": ("fallbacks",)}),
    (MESSAGES, {"context_management": {"edits": [{"type": "compact_20260112"}]}}, {"unbounded": ("compaction",)}),
    (MESSAGES, {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, {"unbounded": ()}),
    (MESSAGES, {"compaction": {}}, {"unbounded": ("compaction",)}),
    # input that the body does not show
    (CHAT, {"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, {"hidden_input": ("audio_id",)}),
    (CHAT, {"messages": user({"type": "file", "file": {"file_id": "f"}})}, {"hidden_input": ("file_id",), "media": ()}),
    (RESPONSES, {"previous_response_id": "r"}, {"hidden_input": ("previous_response_id",)}),
    (RESPONSES, {"conversation": {"id": "c"}}, {"hidden_input": ("conversation",)}),
    (RESPONSES, {"prompt": {"id": "p"}}, {"hidden_input": ("prompt",)}),
    (RESPONSES, {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, {"hidden_input": ("reasoning",)}),
    (RESPONSES, {"input": [{"type": "reasoning", "encrypted_content": "x"}]}, {"hidden_input": ()}),
    (RESPONSES, {"input": [{"type": "compaction", "encrypted_content": "x"}]}, {"hidden_input": ("compaction",)}),
    (MESSAGES, {"container": "c"}, {"hidden_input": ("container",)}),
    (MESSAGES, {"thread": {"type": "continue"}}, {"hidden_input": ("thread",)}),
    (MESSAGES, {"messages": user({"type": "container_upload", "file_id": "f"})}, {"hidden_input": ("file_id",)}),
    (
        MESSAGES,
        {"messages": user({"type": "document", "source": {"type": "url", "url": "u"}})},
        {"hidden_input": ("document_url",), "media": ()},
    ),
    # media
    (
        RESPONSES,
        {"input": [{"type": "image_generation_call", "result": PNG}]},
        {"media": (("image", 9),)},
    ),
    (
        RESPONSES,
        {
            "input": [
                {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "data:,AA"}}
            ]
        },
        {"media": (("image", 1),)},
    ),
    (
        MESSAGES,
        {
            "messages": user(
                {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": PNG}}]}
            )
        },
        {"media": (("image", 9),)},
    ),
    # output that may not be shown
    (MESSAGES, {}, {"reasoning": False}),
    (MESSAGES, {"thinking": None}, {"reasoning": False}),
    (MESSAGES, {"thinking": {"type": "disabled"}}, {"reasoning": False}),
    (MESSAGES, {"thinking": {"type": "adaptive"}}, {"reasoning": True}),
    # caches
    (CHAT, {}, {"cache_write": False, "cache_write_1h": False}),
    (CHAT, {"prompt_cache_options": {"ttl": "30m"}}, {"cache_write": True, "cache_write_1h": False}),
    (CHAT, {"prompt_cache_retention": "24h"}, {"cache_write": True, "cache_write_1h": True}),
    (
        CHAT,
        {
            "messages": user(
                {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
            )
        },
        {"cache_write": True, "cache_write_1h": True},
    ),
    (
        CHAT,
        {
            "messages": user(
                {"type": "image_url", "image_url": {"url": "data:,AA"}, "prompt_cache_breakpoint": {"mode": "explicit"}}
            )
        },
        {"cache_write": True, "cache_write_1h": False},
    ),
    (MESSAGES, {"cache_control": {"type": "ephemeral"}}, {"cache_write": True, "cache_write_1h": False}),
    (
        MESSAGES,
        {"tools": [{"name": "f", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"cache_write": True, "cache_write_1h": True},
    ),
    (
        MESSAGES,
        {"messages": user({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}})},
        {"cache_write": True, "cache_write_1h": False},
    ),
]


@pytest.mark.parametrize(("dialect", "fields", "facts"), FACTS)
def test_each_field_sets_its_facts(dialect, fields, facts):
    """One row a field: what it makes of the least request."""
    read_ = with_(dialect, **fields)

    assert {name: getattr(read_, name) for name in facts} == facts


def test_descriptions_that_anthropic_adds_are_counted():
    """A tool that its type alone describes adds input which the body does not show."""
    plain = with_(MESSAGES, tools=[{"name": "bash", "type": "custom"}])
    typed = with_(MESSAGES, tools=[{"name": "bash", "type": "bash_20250124"}])

    assert typed.input_bytes - plain.input_bytes >= 1000


def test_another_provider_may_bill():
    """Own endpoints speak a dialect under another provider's name."""
    facts, _ = DIALECTS[CHAT].read_request("POST", "/", {}, json.dumps(LEAST[CHAT]).encode(), "acme")

    assert facts.provider == "acme"


BAD_BODIES = [
    (b"", "the body is not JSON at character 0; send one JSON object"),
    (b'{"model":', "the body is not JSON at character"),
    (b"model=m", "the body is not JSON"),
    (b'{"model":"m"} {"model":"n"}', "the body is not JSON"),
    (b"[1]", "the body is a list; send a JSON object"),
    (b"3", "send a JSON object"),
    (b"null", "send a JSON object"),
    (b'{"model":"\xff"}', "the body is not UTF-8 text"),
    ('{"model":"m"}'.encode("utf-16"), "the body is not UTF-8 text"),
    (b'{"model":"m","model":"n"}', "names a key twice"),
    (b'{"model":"m","messages":[{"content":"a","content":"b"}]}', "names a key twice"),
    (b'{"model":"m","mod\\u0065l":"n"}', "names a key twice"),
    (b'{"model":"m","temperature":NaN}', "NaN or Infinity"),
    (b'{"model":"m","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nests too deep"),
    (b'{"model":"m","n":' + b"9" * 5000 + b"}", "the body is not JSON"),
]


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize(("body", "says"), BAD_BODIES)
def test_a_body_that_two_parsers_could_read_differently_is_not_understood(dialect, body, says):
    """Truncated, compressed twice, ambiguous: one sentence says what is wrong, and none of the content."""
    with pytest.raises(NotUnderstood) as caught:
        read(dialect, body)

    assert says in caught.value.message
    assert caught.value.reason == reasons.BODY_NOT_UNDERSTOOD


BAD_FIELDS = [
    (CHAT, {"model": None}, "model is missing, empty or no string"),
    (CHAT, {"model": 4}, "model is missing, empty or no string"),
    (CHAT, {"model": " "}, "model is missing, empty or no string"),
    (CHAT, {"model": "m" * 1000}, "model is longer than 512"),
    (CHAT, {"max_tokens": "10"}, "max_tokens is a string; use a whole number"),
    (CHAT, {"max_completion_tokens": 1.5}, "max_completion_tokens is a number; use a whole number"),
    (CHAT, {"max_tokens": True}, "max_tokens is a boolean"),
    (CHAT, {"max_tokens": -1}, "max_tokens is -1; use a whole number of at least 0"),
    (CHAT, {"n": 0}, "n is 0; use a whole number of at least 1"),
    (CHAT, {"n": [2]}, "n is a list"),
    (CHAT, {"stream": "true"}, "stream is a string; use true or false"),
    (CHAT, {"stream": True, "stream_options": True}, "stream_options is a boolean; use an object"),
    (CHAT, {"stream": True, "stream_options": {"include_usage": 1}}, "include_usage is a number; use true or false"),
    (CHAT, {"messages": {"role": "user"}}, "messages is an object; use a list"),
    (CHAT, {"tools": "all"}, "tools is a string; use a list"),
    (CHAT, {"service_tier": 1}, "service_tier is a number; use a string"),
    (RESPONSES, {"max_output_tokens": {}}, "max_output_tokens is an object"),
    (RESPONSES, {"background": "yes"}, "background is a string"),
    (RESPONSES, {"model": None, "prompt": {"id": "p"}}, "name the model in the body"),
    (MESSAGES, {"max_tokens": "4096"}, "max_tokens is a string"),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": "1"}}, "budget_tokens is a string"),
    (MESSAGES, {"messages": "hi"}, "messages is a string"),
    (MESSAGES, {"speed": 2}, "speed is a number"),
]


@pytest.mark.parametrize(("dialect", "fields", "says"), BAD_FIELDS)
def test_a_field_of_the_wrong_kind_is_named_with_the_way_out(dialect, fields, says):
    """A cap or model that cannot be read is no cap and no model."""
    with pytest.raises(NotUnderstood, match=says.replace("(", "\\(")):
        with_(dialect, **fields)


ENCODED = [
    ("gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", lambda b: zlib.compress(b, wbits=-15)),
    ("identity", bytes),
]


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize(("encoding", "encode"), ENCODED)
def test_compressed_bodies_are_read(dialect, encoding, encode):
    """Both kinds of deflate and gzip read as the plain body does, whatever the header's case."""
    body = json.dumps(LEAST[dialect]).encode()

    assert read(dialect, encode(body), {"Content-Encoding": encoding}) == read(dialect, body)


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("br", b"x", reasons.BODY_NOT_UNDERSTOOD),
        ("zstd", b"x", reasons.BODY_NOT_UNDERSTOOD),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), reasons.BODY_NOT_UNDERSTOOD),
        ("gzip", b"{}", reasons.BODY_NOT_UNDERSTOOD),
        ("gzip", gzip.compress(b'{"model":"m"}')[:-4], reasons.BODY_NOT_UNDERSTOOD),
        ("gzip", gzip.compress(b'{"model":"m"}') + gzip.compress(b" "), reasons.BODY_NOT_UNDERSTOOD),
        ("deflate", b"", reasons.BODY_NOT_UNDERSTOOD),
        ("gzip", gzip.compress(b" " * 5000), reasons.BODY_TOO_LARGE),
    ],
)
def test_what_cannot_be_decoded_whole_is_not_understood(monkeypatch, encoding, body, reason):
    """Unknown encodings, broken or joined streams, and bombs."""
    monkeypatch.setattr(request_module, "LARGEST", 4000)

    with pytest.raises(NotUnderstood) as caught:
        read(CHAT, body, {"content-encoding": encoding})

    assert caught.value.reason == reason


def test_messages_never_quote_the_body():
    """What is not understood is told by kind and place alone."""
    for body in (b'{"model":"sk-secret', b'{"model":["sk-secret"]}', b'{"sk-secret":1,"sk-secret":2}'):
        with pytest.raises(NotUnderstood) as caught:
            read(CHAT, body)

        assert "secret" not in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [
        "model",
        "messages",
        "input",
        "system",
        "tools",
        "stream",
        "stream_options",
        "max_tokens",
        "n",
        "type",
        "source",
        "image_url",
        "file",
        "content",
        "thinking",
        "context_management",
        "edits",
        "prompt",
        "instructions",
        "service_tier",
    ]
)


@given(st.sampled_from(WITH_SDK), st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON)))
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_or_not_understood(dialect, fields):
    """No body raises anything else, and what is read shows no more media than parts."""
    try:
        facts = with_(dialect, **fields)
    except NotUnderstood:
        return
    assert facts.input_bytes >= 0
    assert facts.cap is None or facts.cap >= 0


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_read_or_not_understood(dialect, body):
    """Not even by chance does a body raise anything else."""
    with pytest.raises(NotUnderstood):
        read(dialect, body)
