"""From a recorded exchange to its row: who bills, what was used, what it cost, and why a row says what it says."""

import json
import re
from pathlib import Path

import pytest

from wfb_core.host_table import known_hosts
from wfb_core.price import PriceBook
from wfb_operator.meter import reasons
from wfb_operator.meter.exchange import Exchange
from wfb_operator.meter.measure import Measure
from wfb_operator.prices.compile import compile_snapshot

AT = 1_790_000_000.0  # 2026-09-21
CHAT_URL = "https://api.openai.com/v1/chat/completions"
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 100},
    },
}


@pytest.fixture(scope="module")
def prices():
    """All providers' prices."""
    return PriceBook.from_snapshot(compile_snapshot("now", None).data)


@pytest.fixture
def measure(prices):
    """A fresh recording's measure."""
    return Measure(known_hosts(), prices)


def _exchange(url=CHAT_URL, answer=CHAT, request=None, **fields):
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    asked = {"model": "gpt-4o", "messages": []} if request is None else request
    given = {"method": "POST", "status": 200, "headers": JSON, "at": AT, "id": "e-1", **fields}
    return Exchange(url=url, request_body=json.dumps(asked).encode() if asked else b"", body=body, **given)


def test_a_unary_call_is_metered_to_the_cent(measure):
    """Totals, models and the cost at list prices: 600 fresh at $2.50, 400 cached at $1.25, 500 out at $10 a million."""
    row = measure.row(_exchange()).document()

    assert row == {
        "id": "e-1",
        "provider": "openai",
        "dialect": "openai-chat",
        "model": "gpt-4o",
        "served_model": "gpt-4o-2024-08-06",
        "stream": False,
        "billable": True,
        "input_tokens": 1000,
        "cache_read_tokens": 400,
        "cache_write_tokens": 0,
        "output_tokens": 500,
        "reasoning_tokens": 100,
        "usd": "0.007",
        "priced": True,
        "reason": "metered",
    }


GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse"
AZURE = "https://res.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
OPENROUTER = "https://openrouter.ai/api/v1/chat/completions"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-haiku-4-5",
    "content": [],
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 90,
        "cache_creation_input_tokens": 900,
        "output_tokens": 7,
    },
}
SHAPES = [
    # (url, request, answer) -> (provider, model, served, input, cache read, cache write, output, reasoning, reason)
    (
        (
            GEMINI,
            {"contents": []},
            {
                "modelVersion": "gemini-2.5-flash",
                "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 5, "thoughtsTokenCount": 30},
            },
        ),
        ("google", "gemini-2.5-flash", "gemini-2.5-flash", 20, 0, 0, 35, 30, "metered"),
    ),
    (
        (BEDROCK, {"messages": []}, {"usage": {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 10}}),
        ("aws", "us.amazon.nova-lite-v1:0", None, 13, 10, 0, 4, 0, "metered"),
    ),
    ((AZURE, {"messages": []}, CHAT), ("azure", "my gpt", "gpt-4o-2024-08-06", 1000, 400, 0, 500, 100, "metered")),
    (
        (ANTHROPIC, {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}, MESSAGE),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5", 1000, 90, 900, 7, 0, "metered"),
    ),
    (
        (
            OPENROUTER,
            {"model": "some/new-model", "messages": []},
            {"model": "some/new-model", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.00012}},
        ),
        ("openrouter", "some/new-model", "some/new-model", 1, 0, 0, 2, 0, "reported_cost"),
    ),
]


@pytest.mark.parametrize(("call", "expected"), SHAPES)
def test_totals_mean_the_same_whatever_the_providers_shape(measure, call, expected):
    """Input includes the cache and output the reasoning, for providers that count them inside, beside or apart."""
    url, request, answer = call
    row = measure.row(_exchange(url, answer, request))

    assert (
        row.provider,
        row.model,
        row.served_model,
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.reason,
    ) == expected
    assert row.priced


STREAM = (
    b'data: {"id":"c","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}\n\n'
    b'data: {"id":"c","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    b"data: [DONE]\n\n"
)
REASONS = [
    ({"url": "https://example.com/v1/chat/completions"}, reasons.FOREIGN_HOST, False, None),
    ({"url": "https://api.openai.com.example.com/v1/x"}, reasons.FOREIGN_HOST, False, None),
    ({"url": "not a url"}, reasons.FOREIGN_HOST, False, None),
    ({"url": "https://api.openai.com/v1/models", "method": "GET"}, reasons.FREE, False, "0.00"),
    ({"url": "https://api.anthropic.com/v1/messages/count_tokens"}, reasons.FREE, False, "0.00"),
    ({"url": "https://api.openai.com/v1/new"}, reasons.UNMETERED_PATH, False, None),
    ({"status": 429, "answer": {"error": {}}}, reasons.ERROR_STATUS, False, "0.00"),
    ({"url": "https://api.openai.com/v1/new", "status": 404}, reasons.ERROR_STATUS, False, "0.00"),
    ({"url": "https://api.openai.com/v1/new", "status": 0}, reasons.NO_RESPONSE, False, None),
    ({"url": "https://api.openai.com:443/v1/chat/completions"}, reasons.METERED, True, "0.007"),
    ({"status": 0, "answer": b""}, reasons.NO_RESPONSE, False, None),
    ({"answer": {"error": {"message": "no"}}}, reasons.ERROR_IN_ANSWER, False, "0.00"),
    ({"answer": b"", "damage": reasons.BODY_MISSING}, reasons.BODY_MISSING, True, None),
    ({"answer": b"", "damage": reasons.BODY_DAMAGED}, reasons.BODY_DAMAGED, True, None),
    ({"answer": b"", "damage": reasons.ENCODING_NOT_READ}, reasons.ENCODING_NOT_READ, True, None),
    ({"damage": reasons.ENTRY_DAMAGED}, reasons.ENTRY_DAMAGED, False, None),
    ({"answer": b'{"choices": ['}, reasons.USAGE_MISSING, True, None),
    ({"answer": {"model": "gpt-4o", "choices": []}}, reasons.USAGE_MISSING, True, None),
    ({"answer": {"model": "gpt-4o", "usage": {"prompt_tokens": -1}}}, reasons.USAGE_MALFORMED, True, None),
    ({"answer": {**CHAT, "model": "nobody-1"}, "request": {"model": "nobody-1"}}, reasons.MODEL_UNPRICED, True, None),
    ({"answer": {**CHAT, "service_tier": "scale"}}, reasons.TIER_UNPRICED, True, None),
    ({"answer": STREAM, "headers": EVENTS}, reasons.METERED, True, "0.0000475"),
]


@pytest.mark.parametrize(("given", "reason", "billable", "usd"), REASONS)
def test_every_row_has_its_reason(measure, given, reason, billable, usd):
    """Whatever an exchange lacks is named, and only what is known costs something."""
    row = measure.row(_exchange(**given)).document()

    assert (row["reason"], row["billable"], row["usd"]) == (reason, billable, usd)
    assert row["priced"] is (usd is not None)
    assert reason in reasons.SENTENCES


def test_a_request_that_cannot_be_read_is_metered_by_its_answer(measure):
    """A recording without the request's body still has its answer's counts and model."""
    row = measure.row(_exchange(request={}))

    assert (row.model, row.served_model, row.input_tokens, row.reason) == (
        None,
        "gpt-4o-2024-08-06",
        1000,
        reasons.METERED,
    )


def test_a_result_that_is_read_again_is_counted_once(measure):
    """A background response is billed with the first poll that has its usage; later polls only repeat it."""
    url = "https://api.openai.com/v1/responses"
    answer = {"id": "resp_1", "object": "response", "model": "gpt-4o", "output": []}
    done = {**answer, "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}}
    script = [
        ("POST", url, {**answer, "status": "queued", "usage": None}, {"model": "gpt-4o", "background": True}),
        ("GET", f"{url}/resp_1", {**answer, "status": "in_progress", "usage": None}, {}),
        ("GET", f"{url}/resp_1", done, {}),
        ("GET", f"{url}/resp_1", done, {}),
    ]

    rows = [measure.row(_exchange(u, body, request, method=method)) for method, u, body, request in script]

    assert [(row.reason, row.billable) for row in rows] == [
        (reasons.RESULT_PENDING, False),
        (reasons.RESULT_PENDING, False),
        (reasons.METERED, True),
        (reasons.ALREADY_COUNTED, False),
    ]


def test_calls_whose_ids_repeat_are_separate_calls(measure):
    """Some servers give every answer the same id: each is a call of its own, as an SDK's retries are."""
    rows = [measure.row(_exchange()) for _ in range(2)]

    assert [row.reason for row in rows] == [reasons.METERED, reasons.METERED]


def test_a_call_is_priced_at_the_time_it_was_made(measure):
    """A price that changed later does not change what was paid: claude-opus-4-5 is the same, deepseek's night is not."""
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    answer = {"model": "deepseek-chat", "choices": [], "usage": usage}
    rows = [
        measure.row(_exchange("https://api.deepseek.com/chat/completions", answer, {"model": "deepseek-chat"}, at=at))
        for at in (1_740_000_000.0, 1_790_000_000.0)
    ]

    assert all(row.priced for row in rows)
    assert rows[0].nanos != rows[1].nanos


def test_a_deployment_costs_what_it_was_last_seen_to_serve(measure):
    """Its name says nothing; where one answer lacks its model, another of the same deployment told it."""
    nameless = {key: value for key, value in CHAT.items() if key != "model"}
    rows = [measure.row(_exchange(AZURE, answer, {"messages": []})) for answer in (nameless, CHAT, nameless)]

    assert [row.reason for row in rows] == [reasons.MODEL_UNPRICED, reasons.METERED, reasons.METERED]
    assert rows[1].nanos == rows[2].nanos
    assert rows[2].served_model is None


UNREADABLE = [
    # (url, body) -> (model, stream)
    (CHAT_URL, b'{"model": "gpt-4o", "stream": true, "n": "two"}', ("gpt-4o", True)),
    (CHAT_URL, b"", (None, False)),
    (CHAT_URL, b"\xff{", (None, False)),
    (AZURE, b"", ("my gpt", False)),
    (GEMINI.replace(":generate", ":streamGenerate"), b"not recorded", ("gemini-2.5-flash", True)),
    (f"{BEDROCK}-stream", b"", ("us.amazon.nova-lite-v1:0", True)),
]


@pytest.mark.parametrize(("url", "body", "expected"), UNREADABLE)
def test_what_a_request_asks_for_is_read_as_far_as_it_can_be(measure, url, body, expected):
    """A body that its dialect refuses still names its model; where it names none, the path may."""
    row = measure.row(Exchange(method="POST", url=url, request_body=body, status=200, body=b"{}", at=AT))

    assert (row.model, row.stream) == expected


def test_calls_that_cost_nothing_name_their_model_too(measure):
    """A token count is no call to pay for, and still one for a model."""
    row = measure.row(_exchange(f"{ANTHROPIC}/count_tokens", {"input_tokens": 3}, {"model": "claude-haiku-4-5"}))

    assert (row.model, row.dialect, row.reason, row.input_tokens) == ("claude-haiku-4-5", None, reasons.FREE, None)


REALTIME = "wss://api.openai.com/v1/realtime?model=gpt-realtime"
DONE = {
    "type": "response.done",
    "response": {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 30, "output_tokens": 12}},
}


def _socket(*messages, **fields):
    told = tuple((sent, json.dumps(message).encode()) for sent, message in messages)
    return Exchange(**{"method": "GET", "url": REALTIME, "status": 101, "messages": told, "at": AT, **fields})


def test_a_socket_is_one_row_of_all_its_responses(measure):
    """Every response is billed with all that went before it; what the caller said is transcribed at another price."""
    heard = {
        "type": "conversation.item.input_audio_transcription.completed",
        "usage": {"type": "tokens", "input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    }
    session = {"type": "session.update", "session": {"input_audio_transcription": {"model": "gpt-4o-transcribe"}}}
    row = measure.row(_socket((True, session), (True, {"type": "response.create"}), (False, DONE), (False, DONE)))
    more = measure.row(_socket((True, session), (False, DONE), (False, heard)))

    assert (row.model, row.served_model, row.stream, row.billable) == ("gpt-realtime", "gpt-realtime", True, True)
    assert (row.input_tokens, row.output_tokens, row.reason) == (60, 24, reasons.METERED)
    assert (more.served_model, more.input_tokens, more.output_tokens) == ("gpt-realtime", 35, 14)


SILENT = [
    (_socket(), reasons.USAGE_MISSING),
    (_socket(messages=None), reasons.BODY_MISSING),
    (_socket(messages=None, status=401), reasons.ERROR_STATUS),
    (_socket(messages=None, status=0), reasons.NO_RESPONSE),
]


@pytest.mark.parametrize(("exchange", "reason"), SILENT)
def test_a_socket_that_tells_nothing_says_why(measure, exchange, reason):
    """Recorders that keep no messages, upgrades that were refused, sockets on which nothing was asked."""
    row = measure.row(exchange)

    assert (row.reason, row.billable, row.input_tokens) == (reason, False, None)


def test_every_reason_and_key_is_documented():
    """docs/meter.md has a line for each value of `reason`, and for each key of a row, and for no others."""
    text = (Path(__file__).parents[3] / "docs" / "meter.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \| .* \| (?:yes|no) \|", text, re.MULTILINE))
    keys = {
        name
        for line in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]* \|$", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    }

    assert listed == set(reasons.SENTENCES)
    assert keys == Measure(known_hosts(), None).row(Exchange(url="https://example.com/")).document().keys()
