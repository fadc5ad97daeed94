"""OpenAI's chat as other providers speak it: what their counts mean, where they stand, and what they ask of a request."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.chat_counts import chat_usage, reported_cost
from wfb_core.dialects.openai_chat import OpenAIChat
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

CHAT = OpenAIChat()
PATH = "/v1/chat/completions"
SSE = {"content-type": "text/event-stream"}


def asked(request, provider="openai", path=PATH):
    """(facts, document) of a request."""
    return CHAT.read_request("POST", path, {}, json.dumps(request).encode(), provider)


def frames(*chunks, done=True, newline="\n"):
    """A stream of these chunks, each an object or the bytes of a whole frame."""
    blank = newline * 2
    texts = [
        c if isinstance(c, bytes) else f"data: {json.dumps(c, separators=(',', ':'))}{blank}".encode() for c in chunks
    ]
    return b"".join(texts) + (f"data: [DONE]{blank}".encode() if done else b"")


def read(body, provider="openai", stream=True, step=None, strip=False, headers=SSE, model="asked", choices=1):
    """(what was handed on, the Answer) of an answer, whole or in chunks of `step` bytes."""
    facts = CallFacts("openai-chat", provider, "chat.completions", model, stream, None, choices)
    reader = CHAT.reader(facts, strip, headers if stream else {"content-type": "application/json"})
    size = step or max(1, len(body))
    out = b"".join(reader.feed(body[i : i + size]) for i in range(0, len(body), size))
    return out + reader.feed(b""), reader.end()


def unary(document, provider="openai", **more):
    """The Answer of a whole body."""
    return read(json.dumps(document).encode(), provider, stream=False, **more)[1]


def chunk(text=None, finish=None, **more):
    """A chunk of one choice."""
    delta = {} if text is None else {"content": text}
    return {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def counts(prompt, completion, total=None, **more):
    """A usage object; its total is the sum unless it is given."""
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


READ, WRITTEN = "prompt_tokens_details", "completion_tokens_details"

SHAPES = {
    "OpenAI writes its cache": (
        "openai",
        counts(
            1200, 90, **{READ: {"cached_tokens": 100, "cache_write_tokens": 1000}, WRITTEN: {"reasoning_tokens": 40}}
        ),
        Usage(1200, 100, 1000, 0, 90, 40),
    ),
    "Groq knows no cache": ("groq", counts(35, 25, queue_time=0.02), Usage(35, output_tokens=25)),
    "xAI reasons beside the completion": (
        "x-ai",
        counts(12, 2, 354, **{READ: {"cached_tokens": 11}, WRITTEN: {"reasoning_tokens": 340}}),
        Usage(12, 11, output_tokens=342, reasoning_tokens=340),
    ),
    "xAI's model at Azure": (
        "azure",
        counts(12, 2, 354, **{WRITTEN: {"reasoning_tokens": 340}}),
        Usage(12, output_tokens=342, reasoning_tokens=340),
    ),
    "xAI reasons inside where the sum says so": (
        "x-ai",
        counts(12, 40, **{WRITTEN: {"reasoning_tokens": 30}}),
        Usage(12, output_tokens=40, reasoning_tokens=30),
    ),
    "xAI without a sum": (
        "x-ai",
        {"prompt_tokens": 12, "completion_tokens": 2, WRITTEN: {"reasoning_tokens": 30}},
        Usage(12, output_tokens=32, reasoning_tokens=30),
    ),
    "DeepSeek's hits": (
        "deepseek",
        counts(495, 144, prompt_cache_hit_tokens=320, prompt_cache_miss_tokens=175),
        Usage(495, 320, output_tokens=144),
    ),
    "Perplexity's deep research": (
        "perplexity",
        counts(33, 7000, citation_tokens=20000, num_search_queries=18, reasoning_tokens=70000),
        Usage(
            33,
            output_tokens=77000,
            reasoning_tokens=70000,
            units=(("citation_tokens", 20000), ("web_searches", 18)),
        ),
    ),
    "Gemini's thoughts, which only the sum counts": (
        "google",
        counts(35, 12, 109),
        Usage(35, output_tokens=74, reasoning_tokens=62),
    ),
    "Vertex' thoughts": (
        "google",
        counts(5, 66, 1177, **{WRITTEN: {"reasoning_tokens": 1106}}),
        Usage(5, output_tokens=1172, reasoning_tokens=1106),
    ),
    "Moonshot's cache": ("moonshotai", counts(20, 30, cached_tokens=10), Usage(20, 10, output_tokens=30)),
    "Mistral's older name": ("mistral", counts(68, 6, num_cached_tokens=64), Usage(68, 64, output_tokens=6)),
    "Mistral hears": (
        "mistral",
        counts(9, 248, 632, prompt_audio_seconds=3, **{READ: {"cached_tokens": 0, "audio_tokens": 375}}),
        Usage(9, output_tokens=248, units=(("audio_input_ms", 3000),)),
    ),
    "Databricks, its cache inside": (
        "databricks",
        counts(900, 10, cache_read_input_tokens=800, cache_creation_input_tokens=50),
        Usage(900, 800, 50, output_tokens=10),
    ),
    "a gateway with its cache beside": (
        "compatible",
        counts(50, 10, 910, cache_read_input_tokens=800, cache_creation_input_tokens=50),
        Usage(900, 800, 50, output_tokens=10),
    ),
    "Anthropic's own counts behind a gateway": (
        "compatible",
        {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 100},
        Usage(105, 100, output_tokens=7),
    ),
    "Alibaba writes for an hour": (
        "alibaba",
        counts(
            100, 5, **{READ: {"cache_creation_input_tokens": 80, "cache_creation": {"ephemeral_1h_input_tokens": 80}}}
        ),
        Usage(100, 0, 80, 80, 5),
    ),
    "details that are null": ("together", counts(7, 3, **{READ: None, WRITTEN: None}), Usage(7, output_tokens=3)),
    "the completion is missing": ("openai", {"prompt_tokens": 7, "total_tokens": 9}, Usage(7, output_tokens=2)),
    "the prompt is missing": ("openai", {"completion_tokens": 7, "total_tokens": 9}, Usage(2, output_tokens=7)),
    "counts written as decimals": ("compatible", counts(7.0, 3.0, 10.0), Usage(7, output_tokens=3)),
    "more cached than sent": ("azure", counts(7, 1, **{READ: {"cached_tokens": 161}}), Usage(7, 7, output_tokens=1)),
    "more reasoned than written": (
        "openrouter",
        counts(43, 10, **{WRITTEN: {"reasoning_tokens": 11}}),
        Usage(43, output_tokens=10, reasoning_tokens=10),
    ),
    "a sum that explains nothing": ("together", counts(10, 5, 99), Usage(10, output_tokens=5)),
    "a sum that is too small": ("openai", counts(10, 5, 3), Usage(10, output_tokens=5)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_provider_counts_its_own_way(name):
    """The totals are what is billed, whichever parts stand inside them, in a body as in a stream."""
    provider, usage, expected = SHAPES[name]

    assert unary({"model": "m", "choices": [], "usage": usage}, provider).usage == expected
    stream = frames(chunk("hi"), chunk(finish="stop", usage=usage))
    assert read(stream, provider)[1].usage == expected


PLACES = {
    "a chunk of its own": ("openai", [chunk("hi"), chunk(finish="stop"), {"choices": [], "usage": counts(9, 2)}]),
    "before the text has ended": (
        "openai",
        [chunk("hi"), {"choices": [], "usage": counts(9, 2)}, chunk(finish="stop")],
    ),
    "the last choice": (
        "moonshotai",
        [chunk("hi"), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": counts(9, 2)}]}],
    ),
    "Groq's own object": ("groq", [chunk("hi"), chunk(finish="stop", x_groq={"id": "r", "usage": counts(9, 2)})]),
    "every chunk, growing": (
        "perplexity",
        [chunk("hi", usage=counts(9, 1)), chunk("ho", usage=counts(9, 7)), chunk(finish="stop", usage=counts(9, 2))],
    ),
    "every chunk, the last one not": (
        "vllm",
        [chunk("hi", usage=counts(9, 1)), chunk("ho", usage=counts(9, 2)), chunk(finish="stop", usage=None)],
    ),
    "an empty object first": ("openai", [chunk("hi", usage={}), chunk(finish="stop", usage=counts(9, 2))]),
    "nulls first": ("openai", [chunk("hi", usage={"prompt_tokens": None}), chunk(finish="stop", usage=counts(9, 2))]),
    "zeros last": ("fireworks", [chunk("hi", usage=counts(9, 2)), chunk(finish="stop", usage=counts(0, 0))]),
    "a correction downwards": (
        "openai",
        [chunk("hi", usage=counts(99, 20)), {"choices": [], "usage": counts(9, 2)}],
    ),
    "an index that is no number": (
        "compatible",
        [chunk("hi"), {"choices": [{"index": None, "delta": {}, "finish_reason": "stop"}], "usage": counts(9, 2)}],
    ),
    "choices that are null": ("compatible", [chunk("hi"), {"choices": None, "usage": counts(9, 2)}]),
    "llama.cpp's timings": (
        "compatible",
        [chunk("hi"), chunk(finish="stop", timings={"prompt_n": 4, "cache_n": 5, "predicted_n": 2})],
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", PLACES)
def test_usage_is_found_wherever_it_stands(name, newline):
    """The last word counts, once, in one piece or byte by byte, and every byte is handed on."""
    provider, chunks = PLACES[name]
    stream = frames(*chunks, newline=newline)

    for step in (None, 1, 7):
        out, told = read(stream, provider, step=step)

        assert out == stream
        assert (told.usage.input_tokens, told.usage.output_tokens) == (9, 2)
        assert (told.served_model, told.response_id, told.finding) == ("m-1", "c1", None)
        assert told.finished


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PLACES)), st.data())
def test_a_stream_cut_anywhere_never_counts_twice(name, data):
    """Running totals replace each other: a cut counts what some chunk said, never a sum of chunks."""
    provider, chunks = PLACES[name]
    stream = frames(*chunks)
    cut = data.draw(st.integers(0, len(stream)))

    told = read(stream[:cut], provider)[1]

    said = {(9, 1), (9, 2), (9, 7), (99, 20)}
    assert told.usage is None or (told.usage.input_tokens, told.usage.output_tokens) in said


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["openai", "x-ai", "perplexity", "google", "azure", "mistral"]),
    st.tuples(*[st.integers(0, 500)] * 3),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.integers(0, 900)
            for name in ("cached_tokens", "reasoning_tokens", "cache_creation_input_tokens", "citation_tokens")
        }
        | {
            READ: st.dictionaries(
                st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens"]), st.integers(0, 900)
            ),
            WRITTEN: st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), st.integers(0, 900)),
        },
    ),
)
def test_parts_never_exceed_their_totals_nor_lose_them(provider, numbers, more):
    """Whatever the parts claim, there is a Usage, and never less than the totals that were sent."""
    prompt, completion, total = numbers

    usage, _ = chat_usage(counts(prompt, completion, total, **more), provider)

    assert usage.input_tokens >= prompt
    assert usage.output_tokens >= completion
    assert max(usage.cache_read_tokens, usage.cache_write_tokens, usage.audio_input_tokens) <= usage.input_tokens
    assert max(usage.reasoning_tokens, usage.audio_output_tokens) <= usage.output_tokens


COSTS = [
    ("openrouter", {"cost": 5.37e-06, "is_byok": False, "cost_details": {"upstream_inference_cost": 5.37e-06}}, 5370),
    ("openrouter", {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.00417}}, 4_170_000),
    ("openrouter", {"cost": 0.0002, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.004}}, 4_200_000),
    ("openrouter", {"cost": 0, "is_byok": False}, 0),
    ("perplexity", {"cost": {"request_cost": 0.005, "total_cost": 0.00522}}, 5_220_000),
    ("perplexity", {"cost": {"total_cost": 0}}, None),  # the fee comes with the last chunk
    ("x-ai", {"cost_in_usd_ticks": 1721250}, 172125),
    ("x-ai", {"cost_in_usd_ticks": 11}, 2),
    ("x-ai", {"cost_in_usd_ticks": "11"}, None),
    ("azure", {"cost_in_usd_ticks": 0}, None),  # hosts xAI's model at its own price
    ("openrouter", {"cost": -1}, None),
    ("openrouter", {"cost": True}, None),
    ("openrouter", {"cost": "0.1"}, None),
    ("openai", {}, None),
]


@pytest.mark.parametrize(("provider", "usage", "nanos"), COSTS)
def test_the_provider_s_own_bill_is_read(provider, usage, nanos):
    """Exactly in nano-USD, and only from who bills."""
    assert reported_cost(usage, provider) == nanos
    assert unary({"usage": counts(1, 1, **usage)}, provider).reported_nanos == nanos


ERRORS = [
    {"error": {"message": "m", "code": 400}},
    {"error": "text"},
    {"object": "error", "message": "m"},
    {"base_resp": {"status_code": 1004, "status_msg": "m"}},
    {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]},
    {"choices": [{"index": 0, "error": {"code": 502}, "delta": {}}]},
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_inside_a_200_is_a_failure(error):
    """In a body, and in a stream, where a usage that came before it still counts."""
    assert unary(error).failed
    assert read(frames(chunk("hi"), error))[1].failed
    told = read(frames(chunk("hi", usage=counts(9, 2)), error))[1]
    assert told.failed
    assert told.usage == Usage(9, output_tokens=2)


def test_an_error_event_is_a_failure():
    """Its name says so where its data does not."""
    stream = frames(chunk("hi"), b'event: error\ndata: {"message":"overloaded"}\n\n', done=False)

    assert read(stream)[1].failed


@pytest.mark.parametrize("none", [None, {}, ""])
def test_no_error_is_no_failure(none):
    """A field that is there and says nothing."""
    assert not unary({"error": none, "base_resp": {"status_code": 0}, "usage": counts(1, 1)}).failed


def test_the_served_model_comes_from_whoever_names_it():
    """Azure's first chunk names none, and an empty name never replaces one."""
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{}]}
    stream = frames(
        first, chunk("hi"), chunk(finish="stop", model=""), {"choices": [], "usage": counts(1, 1), "model": ""}
    )

    told = read(stream, "azure")[1]

    assert (told.served_model, told.response_id) == ("m-1", "c1")
    assert read(frames(first, chunk("hi"), done=False), "azure")[1].served_model == "m-1"


def test_a_later_id_is_no_other_answer():
    """The first id stays: Groq ends some streams with a placeholder."""
    assert read(frames(chunk("hi"), chunk(finish="stop", id="stub")))[1].response_id == "c1"


@pytest.mark.parametrize(
    ("told", "tier"), [("on_demand", "default"), ("standard", "default"), ("default", "default"), ("flex", "flex")]
)
def test_everybody_s_tier_has_many_names(told, tier):
    """Groq's and Mistral's words for it are the default; Mistral's stands in its usage."""
    assert unary({"service_tier": told, "usage": counts(1, 1)}).tier == tier
    assert unary({"usage": counts(1, 1, service_tier=told)}).tier == tier


def test_compound_models_are_billed_by_the_models_behind_them():
    """Groq's breakdown counts where it makes up the whole, and not where it repeats it."""
    usage = [counts(138, 4), counts(495, 106), counts(2285, 222)]
    models = [{"model": name, "usage": part} for name, part in zip("aba", usage, strict=True)]
    whole = counts(2918, 332)

    told = unary({"model": "groq/compound", "usage": whole, "usage_breakdown": {"models": models}}, "groq")
    repeated = [{"model": "a", "usage": whole}, {"model": "b", "usage": whole}]
    x_groq = {"usage": whole, "usage_breakdown": {"models": repeated}}
    again = read(frames(chunk("x"), chunk(finish="stop", x_groq=x_groq)), "groq")[1]

    assert told.parts == tuple(
        (name, Usage(p["prompt_tokens"], output_tokens=p["completion_tokens"]))
        for name, p in zip("aba", usage, strict=True)
    )
    assert again.parts == (("m-1", Usage(2918, output_tokens=332)),)


def test_fireworks_tells_its_cache_in_a_header():
    """Where the body does not."""
    facts = CallFacts("openai-chat", "fireworks", "chat.completions", "m", False, None)
    reader = CHAT.reader(facts, headers={"Content-Type": "application/json", "Fireworks-Cached-Prompt-Tokens": "6"})
    reader.feed(json.dumps({"usage": counts(9, 2)}).encode())

    assert reader.end().usage == Usage(9, 6, output_tokens=2)


def test_text_in_lists_is_measured():
    """Mistral streams its thoughts as lists of parts."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "x" * 50}]}
    chunks = [chunk("hi"), *[{"choices": [{"index": 0, "delta": {"content": [thought]}, "finish_reason": None}]}] * 3]

    assert 150 <= read(frames(*chunks, done=False), "mistral")[1].output_bytes_seen < 250


def test_only_the_chunk_that_was_asked_for_is_taken_out():
    """A usage beside text stays, and so do the chunks with `usage: null`."""
    own = {"id": "c1", "model": "m-1", "choices": [], "usage": counts(9, 2)}
    kept = [chunk("hi", usage=None), chunk("ho", usage=counts(9, 1)), chunk(finish="stop", usage=None)]

    out, told = read(frames(*kept, own), strip=True, step=11)

    assert out == frames(*kept)
    assert told.usage == Usage(9, output_tokens=2)


def test_a_stream_without_its_end_mark_ends_with_its_choices():
    """Perplexity sends none; a stream of which one choice is open has no end."""
    end = chunk(finish="stop", usage=counts(9, 2))

    assert read(frames(chunk("hi"), end, done=False), "perplexity")[1].finished
    assert not read(frames(chunk("hi"), end, done=False), "perplexity", choices=2)[1].finished
    assert not read(frames(chunk("hi", usage=counts(9, 1)), done=False), "perplexity")[1].finished


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b'data: {"usage":',
                    b"data: [1]\n\n",
                    b'"error"',
                    b"\n\n",
                    b'data: {"choices":[{"usage":[]}],"x_groq":3,"timings":{},"usage":{"prompt_tokens":{}}}\n\n',
                ]
            ),
        ),
        max_size=8,
    )
)
def test_nothing_makes_a_reader_raise(pieces):
    """Arbitrary bytes are handed on."""
    body = frames(chunk("hi")) + b"".join(pieces)

    out, _ = read(body, "groq", step=5)

    assert out == body


ASKING = [
    *[(name, True) for name in ("openai", "azure", "deepseek", "together", "huggingface_together", "ollama", "x-ai")],
    *[(name, False) for name in ("mistral", "cohere", "perplexity", "openrouter", "groq", "somebody")],
]


@pytest.mark.parametrize(("provider", "asks"), ASKING)
def test_only_who_is_known_to_take_it_is_asked_for_usage(provider, asks):
    """Mistral answers 422 to a field it does not know; some tell usage unasked."""
    facts, document = asked({"model": "m", "messages": [], "stream": True}, provider)

    assert CHAT.prepare(document, facts) is asks
    assert ("stream_options" in document) is asks


@pytest.mark.parametrize(
    "options", [{"include_usage": False}, {"include_usage": False, "include_obfuscation": True}, None]
)
def test_what_else_a_stream_asks_for_stays(options):
    """Only the one flag is set."""
    facts, document = asked({"model": "m", "messages": [], "stream": True, "stream_options": options})

    assert CHAT.prepare(document, facts)
    assert document["stream_options"] == {**(options or {}), "include_usage": True}


@pytest.mark.parametrize(
    ("provider", "field"),
    [
        *[(name, "max_completion_tokens") for name in ("openai", "azure", "groq", "cerebras", "x-ai")],
        *[(name, "max_tokens") for name in ("mistral", "deepseek", "perplexity", "together", "fireworks", "ollama")],
    ],
)
def test_the_cap_is_set_in_the_provider_s_word(provider, field):
    """A field that it does not know would be refused, or ignored."""
    facts, document = asked({"model": "m", "messages": []}, provider)

    assert CHAT.clamp(document, facts, 300)
    assert {name: document.get(name) for name in ("max_tokens", "max_completion_tokens") if name in document} == {
        field: 300
    }


def test_a_signed_request_is_never_changed():
    """A signature covers its body."""
    facts, document = asked({"model": "m", "messages": [], "max_tokens": 900}, "aws")
    signed = CallFacts(**{name: getattr(facts, name) for name in facts.__slots__} | {"signed": True})

    assert CHAT.clamp(document, signed, 300) is False
    assert document["max_tokens"] == 900


NAMES = [
    ("azure", "/openai/deployments/my%20gpt/chat/completions?api-version=1", {}, "my gpt", True),
    ("azure", "/openai/deployments/d/chat/completions", {"model": "gpt-4o"}, "gpt-4o", True),
    ("azure", "/openai/v1/chat/completions", {"model": "my-deployment"}, "my-deployment", True),
    (
        "google",
        "/v1/projects/p/locations/l/publishers/mistralai/models/mistral-small-2503:rawPredict",
        {},
        "mistral-small-2503",
        False,
    ),
    ("databricks", "/serving-endpoints/my-llama/invocations", {}, "my-llama", False),
    ("huggingface", "/models/org/name/v1/chat/completions", {"model": "tgi"}, "org/name", False),
    ("huggingface", "/v1/chat/completions", {"model": "org/name:together"}, "org/name:together", False),
    ("mistral", "/v1/agents/completions", {"agent_id": "ag:1"}, "ag:1", True),
]


@pytest.mark.parametrize(("provider", "path", "body", "model", "deployment"), NAMES)
def test_the_model_asked_for_stands_in_the_body_or_the_path(provider, path, body, model, deployment):
    """Decoded, and said where it is no more than a name that somebody gave it."""
    facts, _ = asked({"messages": [], **body}, provider, path)

    assert (facts.model, facts.deployment) == (model, deployment)


@pytest.mark.parametrize("path", [PATH, "/openai/v1/chat/completions"])
def test_a_model_that_nothing_names_is_not_understood(path):
    """The way out is said."""
    with pytest.raises(NotUnderstood, match="name the model in the body"):
        asked({"messages": []}, "azure", path)


@pytest.mark.parametrize(
    ("model", "biller"),
    [("o/n:together", "huggingface_together"), ("o/n:fastest", "huggingface"), ("o/n", "huggingface")],
)
def test_the_router_bills_for_who_its_suffix_names(model, biller):
    """HuggingFace's router passes on each provider's own prices."""
    assert asked({"model": model, "messages": []}, "huggingface")[0].provider == biller


REWRITTEN = [
    (
        "/openai/deployments/d/chat/completions?api-version=1",
        {},
        "/openai/deployments/a%2Fb/chat/completions?api-version=1",
        {},
    ),
    (
        "/openai/deployments/d/chat/completions",
        {"model": "x"},
        "/openai/deployments/a%2Fb/chat/completions",
        {"model": "a/b"},
    ),
    ("/serving-endpoints/x/invocations", {}, "/serving-endpoints/a%2Fb/invocations", {}),
    ("/models/o/n/v1/chat/completions", {"model": "tgi"}, "/models/a/b/v1/chat/completions", {"model": "a/b"}),
    (PATH, {"model": "x"}, PATH, {"model": "a/b"}),
]


@pytest.mark.parametrize(("path", "body", "path_after", "body_after"), REWRITTEN)
def test_another_model_is_asked_for_where_the_first_was_named(path, body, path_after, body_after):
    """An Azure deployment in the path alone decides: a name in the body would change nothing."""
    document = dict(body)

    assert CHAT.with_model(document, path, "a/b") == path_after
    assert document == body_after


UNBOUNDED = [
    ("perplexity", {"model": "sonar"}, "web_search"),
    ("openai", {"model": "gpt-4o-search-preview"}, "web_search"),
    ("x-ai", {"model": "grok-4", "search_parameters": {"mode": "on"}}, "web_search"),
    ("openrouter", {"model": "o/m:online"}, "web_search"),
    ("groq", {"model": "groq/compound"}, "web_search"),
    ("openrouter", {"model": "o/m", "plugins": [{"id": "web"}]}, "plugins"),
    ("openrouter", {"model": "o/m", "models": ["o/n"]}, "fallbacks"),
]


@pytest.mark.parametrize(("provider", "body", "feature"), UNBOUNDED)
def test_what_may_bill_beyond_any_bound_is_said(provider, body, feature):
    """Searches, plugins and other models."""
    assert feature in asked({"messages": [], **body}, provider)[0].unbounded


PARTS = [
    ({"type": "video_url", "video_url": {"url": "https://x/v"}}, "video", "video_url"),
    ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, "video", None),
    ({"type": "document_url", "document_url": "https://x/d.pdf"}, "document", "document_url"),
    ({"type": "file_url", "file_url": {"url": "https://x/d.pdf"}}, "document", "document_url"),
    ({"type": "audio_url", "audio_url": {"url": "https://x/a"}}, "audio", "audio_url"),
    ({"type": "input_audio", "input_audio": "AAAA"}, "audio", None),
    ({"type": "input_audio", "input_audio": "https://x/a"}, "audio", "audio_url"),
    ({"type": "image_url", "image_url": "https://x/i"}, "image", "image_url"),
]


@pytest.mark.parametrize(("part", "kind", "hidden"), PARTS)
def test_parts_of_other_providers_are_media(part, kind, hidden):
    """By their kind, and as input that the body does not show where they are addresses."""
    facts, _ = asked({"model": "m", "messages": [{"role": "user", "content": [part]}]}, "mistral")

    assert [name for name, _ in facts.media] == [kind]
    assert facts.hidden_input == ((hidden,) if hidden else ())


def test_a_part_that_nobody_knows_is_counted():
    """Every string of it."""
    odd = {"type": "thought_bubble", "thought_bubble": {"deep": ["y" * 500]}}

    assert asked({"model": "m", "messages": [{"role": "user", "content": [odd]}]})[0].input_bytes > 500


THINKING = [
    ({}, None),
    ({"reasoning_effort": "none"}, False),
    ({"reasoning_effort": "high"}, True),
    ({"reasoning": {"effort": "low"}}, True),
    ({"reasoning": {"enabled": False}}, False),
    ({"thinking": {"type": "disabled"}}, False),
    ({"thinking": {"type": "enabled"}}, True),
    ({"enable_thinking": False}, False),
]


@pytest.mark.parametrize(("body", "thinks"), THINKING)
def test_reasoning_is_turned_on_in_many_words(body, thinks):
    """OpenAI's, OpenRouter's, Z.AI's and DeepSeek's, Alibaba's."""
    assert asked({"model": "m", "messages": [], **body})[0].reasoning is thinks
