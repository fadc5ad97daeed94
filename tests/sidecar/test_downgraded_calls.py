"""Downgrade through the whole sidecar: asked of another model in body and path, marked, booked, and at rest where refused."""

import json

import pytest

HELLO = [{"role": "user", "content": "hello there"}]
PARTS = [{"role": "user", "parts": [{"text": "hello there"}]}]
LIMIT = "0.02"
CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
MESSAGES = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/google/models"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
AZURE = "https://tested.openai.azure.com/openai/deployments"
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request"}
BEARER = {"authorization": "Bearer bedrock-api-key-x"}
OPUS = {"model": "claude-opus-4-5", "max_tokens": 100, "messages": HELLO}


def ladder(*pairs, **step):
    """A ladder whose only step downgrades from the first percent on."""
    models = [{"from": a, "to": b} for a, b in pairs]
    return [{"atPercent": 1, "action": "Downgrade", "models": models, **step}]


def spend(bench, http, usd):
    """Gets the budget past its first percent: a token of output costs $0.00001."""
    tokens = int(float(usd) * 3_000)
    body = {"model": "gpt-4o", "messages": HELLO, "max_tokens": tokens}
    assert http.post(CHAT, json=body, headers={"x-sim-output-tokens": str(tokens)}).status_code == 200
    bench.settled(1)


@pytest.fixture
def begun(make_bench, client):
    """Opens a bench whose budget stands on its step, and a client: (bench, http)."""

    def open_bench(*pairs, spec=None, usd=LIMIT, **step):
        """With the step's pairs and more of its fields."""
        bench = make_bench(usd=usd, ladder=ladder(*pairs, **step), **(spec or {}))
        http = client(bench.sidecar())
        spend(bench, http, usd)
        return bench, http

    return open_bench


TO_MINI, TO_HAIKU, TO_LITE = ("gpt-4*", "gpt-4o-mini"), ("claude-opus-*", "claude-haiku-4-5"), "gemini-2.5-flash-lite"
REWRITES = {
    "chat": (TO_MINI, CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100}, {}),
    "chat-stream": (TO_MINI, CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100, "stream": True}, {}),
    "responses": (TO_MINI, RESPONSES, {"model": "gpt-4.1", "input": "hello", "max_output_tokens": 100}, {}),
    "messages": (TO_HAIKU, MESSAGES, OPUS, {"anthropic-version": "2023-06-01"}),
    "gemini": (
        ("gemini-2.5-pro", TO_LITE),
        f"{GEMINI}/gemini-2.5-pro:generateContent",
        {"contents": PARTS, "generationConfig": {"maxOutputTokens": 100}},
        {},
    ),
    "gemini-stream": (
        ("gemini-2.5-pro", TO_LITE),
        f"{GEMINI}/gemini-2.5-pro:streamGenerateContent?alt=sse",
        {"contents": PARTS, "generationConfig": {"maxOutputTokens": 100}},
        {},
    ),
    "vertex": (
        ("gemini-2.5-pro", TO_LITE),
        f"{VERTEX}/gemini-2.5-pro:generateContent",
        {"contents": PARTS, "generationConfig": {"maxOutputTokens": 100}},
        {},
    ),
    "bedrock": (
        ("us.anthropic.*", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
        f"{BEDROCK}/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
        {"messages": [{"role": "user", "content": [{"text": "hello"}]}], "inferenceConfig": {"maxTokens": 100}},
        BEARER,
    ),
    "cohere": (
        ("command-a-*", "command-r7b-12-2024"),
        "https://api.cohere.com/v2/chat",
        {"model": "command-a-03-2025", "messages": HELLO, "max_tokens": 100},
        {},
    ),
}


@pytest.mark.parametrize("name", REWRITES)
def test_a_call_is_asked_of_the_cheaper_model(begun, name):
    """In the body or in the path; the client is told both names, and the books know which model was asked for."""
    pair, url, body, headers = REWRITES[name]
    bench, http = begun(pair)
    billed = bench.bill()

    answer = http.post(url, json=body, headers=headers)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-wfb-model-served"] == pair[1]
    requested = answer.headers["x-wfb-model-requested"]
    assert requested != pair[1]
    books = bench.settled(2)
    (row,) = [r for r in books.rows if r["model"] == requested and r["served_model"] != "gpt-4o-2024-08-06"]
    assert row["served_model"].startswith(pair[1])
    assert bench.bill_lines()[-1].model == pair[1]
    assert books.spent == bench.bill() > billed
    (told,) = [d for d in bench.decisions() if d["reason"] == "Downgraded"]
    assert told["id"] == answer.headers["x-wfb-decision"]
    assert told["budget"].endswith("/tested")


ANSWERED = [*HELLO, {"role": "assistant", "content": "well"}, {"role": "user", "content": "and?"}]
STAYS = {
    "a conversation goes on": ((TO_MINI,), {}, CHAT, {"model": "gpt-4o", "messages": ANSWERED, "max_tokens": 100}),
    "the provider keeps the history": (
        (TO_MINI,),
        {},
        RESPONSES,
        {"model": "gpt-4o", "input": "and?", "previous_response_id": "resp_1", "max_output_tokens": 100},
    ),
    "no pattern fits": (
        (("o3*", "gpt-4o-mini"),),
        {},
        CHAT,
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100},
    ),
    "the target has no price": (
        (("gpt-4o", "gpt-unheard-of"),),
        {},
        CHAT,
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100},
    ),
    "the target is another provider's": (
        (("gpt-4o", "claude-haiku-4-5"),),
        {},
        CHAT,
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100},
    ),
    "the target is dearer": (
        (("gpt-4o-mini", "gpt-4o"),),
        {},
        CHAT,
        {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 100},
    ),
    "the target is denied": (
        (TO_MINI,),
        {"models": {"denied": ["*-mini"]}},
        CHAT,
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100},
    ),
    "a pattern means no deployment": (
        (("*", "gpt-4o-mini"),),
        {"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "5", "usdPerMillionOutput": "25"}},
        f"{AZURE}/my-gpt/chat/completions?api-version=2024-10-21",
        {"messages": HELLO, "max_tokens": 100},
    ),
    "an embedding": (
        (("text-embedding-3-*", "gpt-4o-mini"),),
        {},
        "https://api.openai.com/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "hello"},
    ),
    "a hosted tool": (
        (TO_MINI,),
        {},
        RESPONSES,
        {"model": "gpt-4o", "input": "hello", "max_output_tokens": 100, "tools": [{"type": "web_search"}]},
    ),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_call_stays_with_its_model(begun, name):
    """Wherever a change is not legal, or not cheaper, the request reaches the provider as it came."""
    pairs, spec, url, body = STAYS[name]
    bench, http = begun(*pairs, spec=spec, usd="5.00")

    answer = http.post(url, json=body)

    assert "x-wfb-model-served" not in answer.headers
    assert bench.seen()[-1]["body"] == body
    assert bench.seen()[-1]["path"] == url.partition(".com")[2].partition("?")[0]
    assert not [d for d in bench.decisions() if d["reason"] == "Downgraded"]


def test_a_signed_request_stays_with_its_model(begun):
    """SigV4 covers path and body: neither is edited."""
    bench, http = begun(("us.anthropic.*", "global.anthropic.claude-haiku-4-5-20251001-v1:0"))
    _, url, body, _ = REWRITES["bedrock"]

    answer = http.post(url, json=body, headers=SIGNED)

    assert answer.status_code == 200, answer.text
    assert "x-wfb-model-served" not in answer.headers
    assert bench.seen()[-1]["path"] == url.partition(".com")[2]


@pytest.mark.parametrize("mid", [False, True])
def test_a_running_conversation_changes_only_where_told(begun, mid):
    """midConversation: true; a last message of the assistant begins an answer, and is none."""
    _, http = begun(TO_MINI, midConversation=mid)
    going_on = {"model": "gpt-4o", "messages": ANSWERED, "max_tokens": 100}
    beginning = {"model": "gpt-4o", "messages": [*HELLO, {"role": "assistant", "content": "{"}], "max_tokens": 100}

    assert ("x-wfb-model-served" in http.post(CHAT, json=going_on).headers) is mid
    assert "x-wfb-model-served" in http.post(CHAT, json=beginning).headers


def test_a_warm_cache_of_the_dear_model_is_not_given_up(make_bench, client):
    """Read from the cache at $0.20 a million, the dear model costs less than the cheaper one fresh at $1: it stays."""
    bench = make_bench(usd="2.00", ladder=ladder(("claude-opus-5-5", "claude-haiku-4-5"), midConversation=True))
    http = client(bench.sidecar())
    body = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "x" * 60_000}]}
    warm = {
        "anthropic-version": "2023-06-01",
        "x-sim-input-tokens": "25000",
        "x-sim-cached-tokens": "24900",
        "x-sim-output-tokens": "4",
    }
    for calls in range(1, 5):
        assert http.post(MESSAGES, json=body, headers=warm).status_code == 200
        bench.settled(calls)

    answer = http.post(MESSAGES, json=body, headers=warm)

    assert answer.headers["x-wfb-budget-stage"] == "Downgrade"
    assert "x-wfb-model-served" not in answer.headers


def test_what_the_cheaper_model_refuses_is_left_out(begun):
    """Thinking, effort and betas that it does not know are left out, the cap is lowered to its largest, and told."""
    bench, http = begun(("claude-sonnet-5-5", "claude-haiku-4-5"), usd="5.00")
    body = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 100_000,
        "messages": HELLO,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "stop_sequences": ["END"],
    }
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "effort-2025-11-24,files-api-2025-04-14"}

    answer = http.post(MESSAGES, json=body, headers=headers)

    assert answer.status_code == 200, answer.text
    seen = bench.seen()[-1]
    assert seen["body"] == {
        "model": "claude-haiku-4-5",
        "max_tokens": seen["body"]["max_tokens"],
        "messages": HELLO,
        "stop_sequences": ["END"],
    }
    assert seen["body"]["max_tokens"] <= 64_000
    assert seen["headers"]["anthropic-beta"] == "files-api-2025-04-14"
    (told,) = [d for d in bench.decisions() if d["reason"] == "Downgraded"]
    assert "without thinking, output_config.effort" in told["message"]


def test_a_model_that_refuses_rests(begun):
    """The provider's own error reaches the client, marked; the pair rests in this sidecar, and the ledger is told once."""
    bench, http = begun(TO_MINI)
    body = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100}

    refused = http.post(CHAT, json=body, headers={"x-sim-fault": "404"})
    after = http.post(CHAT, json=body)

    assert refused.status_code == 404
    assert "error" in refused.json()
    assert "budget" not in json.dumps(refused.json())
    assert refused.headers["x-wfb-downgrade"] == "refused"
    assert refused.headers["x-wfb-model-served"] == "gpt-4o-mini"
    assert after.status_code == 200
    assert "x-wfb-model-served" not in after.headers
    assert bench.seen()[-1]["body"]["model"] == "gpt-4o"
    bench.settled(2)
    (told,) = [d for d in bench.decisions() if d["reason"] == "DowngradeRefused"]
    assert told["budget"].endswith("/tested")
    assert "'gpt-4o-mini' refused a request for 'gpt-4o' with 404" in told["message"]


def test_the_clients_own_mistake_with_its_own_model_rests_nothing(begun):
    """An error of a call that was not downgraded is nobody's refusal, and a 429 says nothing of a model."""
    bench, http = begun(TO_MINI)
    body = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 100}
    busy = http.post(CHAT, json=body, headers={"x-sim-fault": "429"})
    assert (busy.status_code, "x-wfb-downgrade" in busy.headers) == (429, False)
    wrong = http.post(CHAT, json={**body, "model": "gpt-5"}, headers={"x-sim-fault": "400"})
    assert (wrong.status_code, "x-wfb-downgrade" in wrong.headers) == (400, False)
    assert http.post(CHAT, json=body).headers["x-wfb-model-served"] == "gpt-4o-mini"
    assert not [d for d in bench.decisions() if d["reason"] == "DowngradeRefused"]


def test_a_reporting_budget_only_writes_it_down(begun):
    """enforcement: Report leaves the request alone and records what Enforce would have done."""
    bench, http = begun(TO_MINI, spec={"enforcement": "Report"})
    answer = http.post(CHAT, json={"model": "gpt-4o", "messages": HELLO, "max_tokens": 100})
    assert "x-wfb-model-served" not in answer.headers
    bench.settled(2)
    (told,) = [d for d in bench.decisions() if d["reason"] == "Downgraded"]
    assert told["message"].startswith("would be downgraded under Enforce: 'gpt-4o' is asked of 'gpt-4o-mini'")


# -- what answers say of budgets


def test_answers_say_how_the_tightest_budget_stands(make_bench, client):
    """Nothing below the first rung; from there on stage, remaining money and reset, on streams too, never to the provider."""
    bench = make_bench(usd=LIMIT, ladder=[{"atPercent": 1, "action": "Warn"}])
    sidecar = bench.sidecar()
    http = client(sidecar)
    body = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 400}
    first = http.post(CHAT, json=body, headers={"x-sim-output-tokens": "400"})
    assert not [name for name in first.headers if name.startswith("x-wfb-")]
    spent = bench.settled(1).spent

    for stream in (False, True):
        answer = http.post(CHAT, json={**body, "stream": stream}, headers={"x-wfb-budget": "forged"})
        marks = {name: value for name, value in answer.headers.items() if name.startswith("x-wfb-")}
        assert marks["x-wfb-budget"].endswith("/tested")
        assert marks["x-wfb-budget-stage"] == "Warn"
        if not stream:
            left = int(float(LIMIT) * 1e9) - spent
            assert marks["x-wfb-budget-remaining"] == f"{left / 1e9:.9f}".rstrip("0")
    assert all(not name.startswith("x-wfb-") for call in bench.seen() for name in call["headers"])
