"""How the cost of an answer is bounded before it exists: Clamp, Strict, Adaptive, in every dialect and through real SDKs."""

import anthropic
import openai
import pytest
from google import genai

from harness.until import until
from wfb_core.grants import timing

HELLO = [{"role": "user", "content": "hello there"}]
PARTS = [{"role": "user", "parts": [{"text": "hello there"}]}]
CHAT = "https://api.openai.com/v1/chat/completions"
LONG = {"x-sim-output-tokens": "5000"}
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
CONVERSE = f"{BEDROCK}/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
BLOCKS = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request"}
BEARER = {"authorization": "Bearer bedrock-api-key-x"}

UNCAPPED = {
    # url, body, headers, where the cap stands in the request that arrives
    "chat": (CHAT, {"model": "gpt-4o", "messages": HELLO}, {}, ("max_completion_tokens",)),
    "responses": (
        "https://api.openai.com/v1/responses",
        {"model": "gpt-4o", "input": "hello"},
        {},
        ("max_output_tokens",),
    ),
    "messages": (
        "https://api.anthropic.com/v1/messages",
        {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 64_000},
        {"anthropic-version": "2023-06-01"},
        ("max_tokens",),
    ),
    "gemini": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
        {"contents": PARTS},
        {},
        ("generationConfig", "maxOutputTokens"),
    ),
    "converse": (CONVERSE, BLOCKS, BEARER, ("inferenceConfig", "maxTokens")),
    "cohere": (
        "https://api.cohere.com/v2/chat",
        {"model": "command-a-03-2025", "messages": HELLO},
        {},
        ("max_tokens",),
    ),
    "mistral": (
        "https://api.mistral.ai/v1/chat/completions",
        {"model": "codestral-latest", "messages": HELLO},
        {},
        ("max_tokens",),
    ),
}


def _cap(call, path):
    """The cap of a request as it arrived."""
    value = call["body"]
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize("name", UNCAPPED)
def test_clamp_lowers_the_cap_to_what_the_money_buys(make_bench, client, name):
    """Near the limit each dialect's own field gets a cap, and what was then billed stays below the limit."""
    url, body, headers, path = UNCAPPED[name]
    bench = make_bench(usd="0.03")
    answer = client(bench.sidecar()).post(url, json=body, headers={**headers, **LONG})
    assert answer.status_code == 200, answer.text
    cap = _cap(bench.seen()[-1], path)
    assert 256 <= cap < 5000
    books = bench.settled(1)
    assert books.spent == bench.bill() <= 30_000_000


@pytest.mark.parametrize("name", UNCAPPED)
def test_strict_edits_nothing(make_bench, client, name):
    """The longest answer does not fit: the call is refused; where it fits, it goes as it came."""
    url, body, headers, _ = UNCAPPED[name]
    bench = make_bench(usd="0.03", outputBound="Strict")
    http = client(bench.sidecar())
    assert http.post(url, json=body, headers=headers).status_code in {402, 400}
    assert bench.seen() == []
    bench.put_budget(usd="100.00", outputBound="Strict")
    until(lambda: http.post(url, json=body, headers=headers).status_code == 200, "the new limit")
    assert bench.seen()[-1]["body"] == body


def test_clamp_is_strict_where_a_signature_covers_the_body(make_bench, client):
    """SigV4: never edited, so the longest answer must fit, as under Strict."""
    bench = make_bench(usd="0.03")
    http = client(bench.sidecar())
    refused = http.post(CONVERSE, json=BLOCKS, headers=SIGNED)
    assert refused.status_code == 400
    assert refused.headers["x-amzn-errortype"].startswith("ServiceQuotaExceededException")
    assert bench.seen() == []
    bench.put_budget(usd="100.00")
    until(lambda: http.post(CONVERSE, json=BLOCKS, headers=SIGNED).status_code == 200, "the new limit")
    assert bench.seen()[-1]["body"] == BLOCKS


def test_a_signed_call_that_nothing_bounds_is_refused(make_bench, client):
    """No cap, no known maximum, and no cap can be written: it holds no eighth of the money in the hope of costing less."""
    bench = make_bench(
        usd="5.00", unpricedModels={"action": "PriceAs", "usdPerMillionInput": "5", "usdPerMillionOutput": "25"}
    )
    url = f"{BEDROCK}/acme.unheard-of-v1%3A0/converse"
    answer = client(bench.sidecar()).post(url, json=BLOCKS, headers=SIGNED)
    assert (answer.status_code, answer.headers["x-wfb-reason"]) == (400, "Unbounded")
    assert bench.seen() == []


def test_adaptive_holds_what_answers_usually_take(make_bench, client):
    """Clamp's rule until twenty answers are seen; then the 99th percentile near the limit, and no cap far from it."""
    bench = make_bench(usd="1.00", outputBound="Adaptive")
    sidecar = bench.sidecar()
    http = client(sidecar)
    url, body, _, path = UNCAPPED["chat"]
    caps = []
    for calls in range(1, 24):
        tokens = str(300 + calls % 20)
        assert http.post(url, json=body, headers={"x-sim-output-tokens": tokens}).status_code == 200
        bench.settled(calls)
        caps.append(_cap(bench.seen()[-1], path))
    assert min(caps[:20]) > 10_000
    assert caps[20:] == [319, 319, 319]
    assert sidecar.metric("answers_cut_at_cap_total", provider="openai") == 0

    cut = http.post(url, json=body, headers=LONG)
    assert cut.json()["choices"][0]["finish_reason"] == "length"
    assert cut.json()["usage"]["completion_tokens"] == 319
    assert bench.settled(24).spent == bench.bill()
    assert sidecar.metric("answers_cut_at_cap_total", provider="openai") == 1

    bench.put_budget(usd="1000.00", outputBound="Adaptive")
    until(lambda: _far(http, bench, url, body), "the new limit")
    assert bench.seen()[-1]["body"] == body


def _far(http, bench, url, body):
    """Whether a call goes uncapped."""
    assert http.post(url, json=body).status_code == 200
    return bench.seen()[-1]["body"] == body


def test_without_a_ledger_an_answer_is_cut_to_the_money_at_hand(make_bench, client, monkeypatch):
    """A pod that made one call has little at hand: while no ledger answers, an uncapped call gets a cap that fits it."""
    bench = make_bench(usd="10.00", waitSeconds=1)
    sidecar = bench.sidecar()
    http = client(sidecar)
    url, body, _, path = UNCAPPED["chat"]
    assert http.post(url, json={**body, "max_completion_tokens": 4000}).status_code == 200
    bench.settled(1)
    bench.ledger_away()
    monkeypatch.setattr(timing, "SILENT", 0.1)
    until(lambda: sidecar.call(lambda: sidecar.parts.till.wallet.silent(sidecar.parts.clock.now())), "the silence", 30)

    answer = http.post(url, json=body)

    assert answer.status_code == 200, answer.text
    assert 256 <= _cap(bench.seen()[-1], path) < 16_384
    bench.ledger_back()


# -- as real SDKs see an answer that was cut


@pytest.fixture
def short(make_bench, monkeypatch):
    """A sidecar in front of the SDKs whose budget buys short answers only."""
    bench = make_bench(usd="0.03")
    bench.behave(output_tokens=5000)
    sidecar = bench.sidecar()
    for name, value in sidecar.environment(GOOGLE_API_KEY="g-secret").items():
        monkeypatch.setenv(name, value)
    return bench


def test_openai_sees_a_length_stop(short):
    """Chat and Responses, whole and streamed: the end that a cap of one's own makes, and no error."""
    client = openai.OpenAI()
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].finish_reason == "length"
    streamed = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    assert [c.choices[0].finish_reason for c in streamed if c.choices][-1] == "length"
    answer = client.responses.create(model="gpt-4o", input="hello")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert short.settled(3).spent == short.bill()


def test_anthropic_sees_a_length_stop(short):
    """Whole and streamed: ``stop_reason`` is ``max_tokens``."""
    client = anthropic.Anthropic()
    asked = {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 8000}
    assert client.messages.create(**asked).stop_reason == "max_tokens"
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"
    assert short.settled(2).spent == short.bill()


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
def test_google_sees_a_length_stop(short):
    """``finish_reason`` is MAX_TOKENS."""
    client = genai.Client(api_key="g-secret")
    answer = client.models.generate_content(model="gemini-2.5-pro", contents="hello")
    assert answer.candidates[0].finish_reason == "MAX_TOKENS"
    assert short.settled(1).spent == short.bill()
