"""Google's generateContent: paths and requests, answers of every framing, counts that contradict each other, refusals."""

import json
import pathlib

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.gemini_generate import GeminiGenerate, billed_searches, metadata_usage
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

SAMPLES = pathlib.Path(__file__).parent / "samples/gemini-generate"
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json; charset=UTF-8"}
GEMINI = GeminiGenerate()
VERTEX = "/v1/projects/p/locations/us-central1"
PATH = "/v1beta/models/gemini-3-pro:generateContent"
TOOLS = Usage(input_tokens=890, output_tokens=137, reasoning_tokens=113, units=(("web_searches", 2),))
MIDDLE = Usage(input_tokens=20, output_tokens=42, reasoning_tokens=35)
MEDIA = Usage(
    input_tokens=17713,
    cache_read_tokens=17379,
    output_tokens=2037,
    reasoning_tokens=821,
    audio_input_tokens=1917,
    image_input_tokens=15780,
    audio_cache_read_tokens=1881,
    image_cache_read_tokens=15483,
    image_output_tokens=1120,
)
FLASH = "gemini-3-flash-preview"


def facts(stream=True, model="gemini-3-pro", verb="streamGenerateContent"):
    """The facts of a call."""
    return CallFacts("gemini-generate", "google", verb, model, stream, None)


def answer(body, stream=True, headers=SSE, size=10**9, verb="streamGenerateContent"):
    """The Answer that a body in chunks of a size makes."""
    reader = GEMINI.reader(facts(stream, verb=verb), False, headers)
    out = b"".join(reader.feed(body[i : i + size]) for i in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def read(body, path=PATH, headers=None):
    """(facts, document) of a request."""
    return GEMINI.read_request("POST", path, headers or {}, json.dumps(body).encode())


@pytest.mark.parametrize("size", [10**9, 1, 13])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stream_tools.sse", (TOOLS, None, FLASH, "default", True, False)),
        ("stream.array.json", (Usage(8, 0, 0, 0, 2464, 2027), None, FLASH, "flex", True, False)),
        ("stream_cut.sse", (None, MIDDLE, FLASH, None, False, False)),
        ("stream_error.sse", (MIDDLE, None, FLASH, None, False, True)),
        ("unary_media.json", (MEDIA, None, "gemini-2.5-flash-image", "priority", True, False)),
        ("unary_blocked.json", (Usage(), None, "gemini-2.5-flash", "default", True, False)),
    ],
)
def test_the_last_counts_hold_whatever_the_chunks(name, told, size):
    """Totals, partial totals, model, tier and ending of every sample, down to single bytes."""
    unary = name.startswith("unary")
    headers = SSE if name.endswith(".sse") else JSON
    found = answer((SAMPLES / name).read_bytes(), not unary, headers, size)

    assert (found.usage, found.partial, found.served_model, found.tier, found.finished, found.failed) == told
    assert (found.finding is None) == (found.usage is not None)
    assert found.response_id.startswith("r-")


@pytest.mark.parametrize("name", ["unary_media.json", "unary_blocked.json"])
def test_samples_have_the_shape_that_the_sdk_declares(name):
    """Samples validate against google-genai's own model, but for the tier, which newer versions of it know."""
    document = json.loads((SAMPLES / name).read_bytes())
    document["usageMetadata"].pop("serviceTier", None)

    types.GenerateContentResponse.model_validate(document)


def test_most_objects_are_not_parsed_and_count_all_the_same(monkeypatch):
    """Between the first object and the last one only lengths are taken: two of many are read, and the counts are the last's."""
    piece = json.loads((SAMPLES / "stream_tools.sse").read_bytes().split(b"\r\n\r\n")[3][6:])
    last = (SAMPLES / "stream_tools.sse").read_bytes().split(b"\r\n\r\n")[4] + b"\r\n\r\n"
    frame = b"data: " + json.dumps(piece).encode() + b"\r\n\r\n"
    parsed = []
    real = json.loads
    monkeypatch.setattr(json, "loads", lambda data, **more: parsed.append(1) or real(data, **more))

    found = answer(frame * 100 + last)

    assert (found.usage, found.frames, found.output_bytes_seen) == (TOOLS, 101, 600)
    assert len(parsed) <= 4
    cut = answer(frame * 100)
    assert (cut.usage, cut.partial) == (None, MIDDLE_LAST)


MIDDLE_LAST = Usage(input_tokens=20, output_tokens=44, reasoning_tokens=35)


def counts(prompt=None, made=None, thoughts=None, tool=None, cached=None, total=None):
    """A usageMetadata of the counts that are given."""
    named = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": made,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tool,
        "cachedContentTokenCount": cached,
        "totalTokenCount": total,
    }
    return {name: count for name, count in named.items() if count is not None}


@pytest.mark.parametrize(
    ("given_counts", "usage"),
    [
        (counts(10, 5, total=15), (10, 0, 5, 0)),
        (counts(10, 5, 7, 3, 4, 25), (13, 4, 12, 7)),
        (counts(10, 5, 7), (10, 0, 12, 7)),  # no total to check by
        (counts(10, 12, 7, total=22), (10, 0, 12, 7)),  # thoughts inside the candidates
        (counts(10, 5, tool=3, total=15), (10, 0, 5, 0)),  # the tool's inside the prompt
        (counts(10, 12, 7, 3, total=22), (10, 0, 12, 7)),  # both
        (counts(10, total=58), (10, 0, 48, 0)),  # candidates left out
        (counts(10, thoughts=8, total=18), (10, 0, 8, 8)),
        (counts(10, 5, cached=40, total=55), (50, 40, 5, 0)),  # the cache left out of the prompt
        (counts(10, 5, cached=40, total=15), (10, 10, 5, 0)),  # a part that exceeds its whole
        (counts(10, 5, total=99), (10, 0, 5, 0)),  # a total that explains nothing
        (counts(total=9), (0, 0, 9, 0)),
    ],
)
def test_the_total_says_what_stands_inside_another(given_counts, usage):
    """Counts that contradict the documented sum are read as the provider's own total has them."""
    told = metadata_usage(given_counts)

    assert (told.input_tokens, told.cache_read_tokens, told.output_tokens, told.reasoning_tokens) == usage


@given(
    st.fixed_dictionaries({}, optional={name: st.none() | st.integers(0, 10**6) for name in counts(1, 1, 1, 1, 1, 1)}),
    st.lists(
        st.tuples(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT", 4, None]), st.integers(-5, 10**6))
    ),
)
def test_parts_never_exceed_their_totals(given_counts, details):
    """Whatever numbers come, a Usage comes of them, whose own rules hold."""
    entries = [{"modality": modality, "tokenCount": count} for modality, count in details]
    metadata_usage(
        {
            **given_counts,
            "promptTokensDetails": entries,
            "cacheTokensDetails": entries,
            "candidatesTokensDetails": entries,
        }
    )


@pytest.mark.parametrize(
    ("body", "usage", "finding"),
    [
        (b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}', None, "usage missing"),
        (b'{"candidates":[],"usageMetadata":[]}', None, "usage malformed: usageMetadata is no object"),
        (
            b'{"candidates":[],"usageMetadata":{"promptTokenCount":-1}}',
            None,
            "usage malformed: promptTokenCount is out of range",
        ),
        (
            b'{"candidates":[],"usage_metadata":{"prompt_token_count":3,"candidates_token_count":2},"model_version":"m"}',
            Usage(input_tokens=3, output_tokens=2),
            None,
        ),
        (b'[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]', None, "usage missing"),
        (b"<html>", None, "body broken"),
        (b"[]", None, "frame broken"),
        (b"[1]", None, "frame broken"),
    ],
)
def test_bodies_that_say_little(body, usage, finding):
    """Bodies without counts, with nonsense, in snake_case, and errors in an array."""
    found = answer(body, False, JSON)

    assert (found.usage, found.finding) == (usage, finding)
    assert found.failed == (b"error" in body)


@pytest.mark.parametrize(
    ("model", "queries", "fees"),
    [
        ("gemini-2.5-flash", 3, 1),
        ("gemini-2.5-flash", 0, 0),
        ("gemini-2.0-flash", 2, 1),
        ("gemini-3-flash-preview", 3, 3),
        ("gemini-3.8-flash", 2, 2),
        ("unheard-of", 2, 2),
    ],
)
def test_searches_are_billed_by_prompt_or_by_query(model, queries, fees):
    """Before Gemini 3 a prompt has one fee, since then each query."""
    assert billed_searches(queries, model) == fees


@pytest.mark.parametrize(
    ("path", "model", "other"),
    [
        (PATH, "gemini-3-pro", "/v1beta/models/small:generateContent"),
        (
            "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse",
            "gemini-3-pro",
            "/v1beta/models/small:streamGenerateContent?alt=sse",
        ),
        ("/v1/tunedModels/mine:generateContent", "tunedModels/mine", "/v1/models/small:generateContent"),
        (
            f"{VERTEX}/publishers/google/models/g%402:generateContent",
            "g@2",
            f"{VERTEX}/publishers/google/models/small:generateContent",
        ),
        (
            f"{VERTEX}/endpoints/123:generateContent",
            "endpoints/123",
            f"{VERTEX}/publishers/google/models/small:generateContent",
        ),
        ("/v1/publishers/google/models/g:generateContent", "g", "/v1/publishers/google/models/small:generateContent"),
        ("/v1beta/models/g%3AgenerateContent", "g", "/v1beta/models/small:generateContent"),
    ],
)
def test_the_path_names_model_and_stream(path, model, other):
    """Model, stream and deployment are read from the path, and another model is written there."""
    told, document = read({"contents": [], "model": "models/gemini-3-pro"}, path)

    assert (told.model, GEMINI.model_in(path)) == (model, model)
    assert told.stream == ("stream" in path)
    assert told.deployment == ("/" in model)
    assert GEMINI.with_model(document, path, "small") == other
    assert document["model"] == "models/small"


def test_a_path_without_a_model_is_not_understood():
    """A path that names none is an error; asked for its model it has none."""
    with pytest.raises(NotUnderstood, match="path names no model"):
        read({}, "/v1beta/models")
    assert GEMINI.model_in("/v1beta/models") is None


def test_what_a_request_asks_for():
    """Caps, choices, tier, media, hidden and unbounded parts in camelCase."""
    told, _ = read(
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "What is this?"},
                        {"inlineData": {"mimeType": "image/png", "data": "a" * 4000}},
                        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://x"}},
                    ],
                }
            ],
            "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"googleSearch": {}}, {"odd": {}}],
            "generationConfig": {"maxOutputTokens": 99, "candidateCount": 2, "thinkingConfig": {"thinkingBudget": 0}},
            "cachedContent": "cachedContents/1",
            "serviceTier": "flex",
        }
    )

    assert (told.cap, told.choices, told.tier, told.reasoning) == (99, 2, "flex", False)
    assert (told.messages, told.tools) == (2, 4)
    assert told.media == (("image", 3000), ("document", 0))
    assert told.hidden_input == ("fileData", "cachedContent")
    assert told.unbounded == ("google_search", "unknown_tool")
    assert 20 < told.input_bytes < 200


def test_snake_case_is_read_and_kept():
    """A request in snake_case is read as one in camelCase, and its cap is lowered where it stands."""
    told, document = read(
        {
            "contents": {"parts": {"inline_data": {"mime_type": "audio/wav", "data": "aaaa"}}},
            "generation_config": {"max_output_tokens": 99},
        }
    )

    assert (told.cap, told.media) == (99, (("audio", 3),))
    assert GEMINI.clamp(document, told, 10)
    assert document["generation_config"] == {"max_output_tokens": 10}
    assert "generationConfig" not in document


@pytest.mark.parametrize(
    ("body", "cap", "config"),
    [
        ({}, 10, {"maxOutputTokens": 10}),
        ({"generationConfig": {"maxOutputTokens": 5, "topK": 1}}, 10, {"maxOutputTokens": 5, "topK": 1}),
        ({"generationConfig": {"maxOutputTokens": 50}}, 10, {"maxOutputTokens": 10}),
    ],
)
def test_a_cap_is_only_lowered(body, cap, config):
    """The cap is written where none is, lowered where it is higher, and left where it is lower."""
    told, document = read({"contents": [], **body})

    assert GEMINI.clamp(document, told, cap)
    assert document["generationConfig"] == config


def test_one_count_in_two_spellings_is_not_understood():
    """Which of both a server takes is its own choice."""
    with pytest.raises(NotUnderstood, match="two spellings"):
        read({"contents": [], "generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}})


@pytest.mark.parametrize(
    ("headers", "tier"),
    [
        ({}, None),
        ({"X-Vertex-AI-LLM-Shared-Request-Type": "priority"}, "priority"),
        ({"x-vertex-ai-llm-request-type": "dedicated"}, "provisioned_throughput"),
        ({"x-vertex-ai-llm-request-type": "shared"}, None),
    ],
)
def test_vertex_ai_names_the_tier_in_headers(headers, tier):
    """The tier that a header asks for."""
    assert read({"contents": []}, headers=headers)[0].tier == tier


@pytest.mark.parametrize(
    ("status", "retry_after", "word", "details"),
    [(402, None, "FAILED_PRECONDITION", 1), (429, 7.2, "RESOURCE_EXHAUSTED", 2), (429, None, "FAILED_PRECONDITION", 1)],
)
def test_refusals_have_the_shape_of_google(status, retry_after, word, details):
    """A refusal is a google.rpc.Status; only one that asks to wait says RESOURCE_EXHAUSTED."""
    told, headers, body = GEMINI.refusal("BudgetExceeded", "No money.", status, {"budget": "b"}, retry_after)
    error = json.loads(body)["error"]

    assert (told, error["code"], error["status"], error["message"]) == (status, status, word, "No money.")
    assert len(error["details"]) == details
    assert error["budget"]["budget"] == "b"
    assert ("retry-after" in headers) == (retry_after is not None)


def test_a_stream_ends_early_in_its_own_framing():
    """What is handed on is a whole stream that ends with MAX_TOKENS, as events and as an array."""
    events = (SAMPLES / "stream_tools.sse").read_bytes()
    reader = GEMINI.reader(facts(), False, SSE)
    handed = reader.feed(events[: events.index(b"\r\n\r\n") + 4]) + reader.finish_early()
    last = json.loads(handed.split(b"\r\n\r\n")[-2][6:])
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert last["usageMetadata"]["candidatesTokenCount"] == 15

    array = (SAMPLES / "stream.array.json").read_bytes()
    reader = GEMINI.reader(facts(), False, JSON)
    handed = reader.feed(array[: array.index(b"\n,")]) + reader.finish_early()
    assert [o["candidates"][0].get("finishReason") for o in json.loads(handed)] == [None, "MAX_TOKENS"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.sampled_from([SSE, JSON, {}]))
def test_no_bytes_make_a_reader_fail(body, stream, headers):
    """Arbitrary bytes, alone and after a good object, never raise and never count."""
    good = (SAMPLES / "stream_cut.sse").read_bytes().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    for prefix in (b"", good):
        found = answer(prefix + body, stream, headers)
        assert not (found.finding or "").startswith("reader failed")
