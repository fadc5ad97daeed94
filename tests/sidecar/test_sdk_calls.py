"""Calls of the providers' own SDKs through the sidecar: what the ledger books is what the provider bills."""

import anthropic
import openai
import pytest

HELLO = [{"role": "user", "content": "hello there"}]
CHAT = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 200}
RESPONSE = {"model": "gpt-4o", "input": "hello there"}
MESSAGE = {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 200}
KINDS = ("chat", "chat-stream", "responses", "responses-stream", "messages", "messages-stream")
MODES = ("proxy", "base-url")


@pytest.fixture(scope="module")
def sidecar(module_bench):
    """One sidecar for the module."""
    return module_bench.sidecar()


def _settings(mode, sidecar, monkeypatch):
    """Arguments of both SDKs' clients, as an agent in this mode would have them in its environment."""
    environment = sidecar.environment()
    if mode == "base-url":
        environment = {k: v for k, v in environment.items() if k.endswith("_KEY")}
        environment["OPENAI_BASE_URL"] = sidecar.base_url + "/openai/v1"
        environment["ANTHROPIC_BASE_URL"] = sidecar.base_url + "/anthropic"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def _call(kind):
    """Makes one blocking call; returns the text of its answer."""
    match kind:
        case "chat":
            return openai.OpenAI().chat.completions.create(**CHAT).choices[0].message.content
        case "chat-stream":
            chunks = list(openai.OpenAI().chat.completions.create(**CHAT, stream=True))
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        case "responses":
            return openai.OpenAI().responses.create(**RESPONSE).output_text
        case "responses-stream":
            events = openai.OpenAI().responses.create(**RESPONSE, stream=True)
            return "".join(e.delta for e in events if e.type == "response.output_text.delta")
        case "messages":
            return anthropic.Anthropic().messages.create(**MESSAGE).content[0].text
        case "messages-stream":
            with anthropic.Anthropic().messages.stream(**MESSAGE) as stream:
                return "".join(stream.text_stream)


async def _call_async(kind):
    """Makes one call of an async client; returns the text of its answer."""
    if kind.startswith("messages"):
        async with anthropic.AsyncAnthropic() as client:
            if kind == "messages":
                return (await client.messages.create(**MESSAGE)).content[0].text
            async with client.messages.stream(**MESSAGE) as stream:
                return "".join([piece async for piece in stream.text_stream])
    async with openai.AsyncOpenAI() as client:
        match kind:
            case "chat":
                return (await client.chat.completions.create(**CHAT)).choices[0].message.content
            case "chat-stream":
                stream = await client.chat.completions.create(**CHAT, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            case "responses":
                return (await client.responses.create(**RESPONSE)).output_text
            case "responses-stream":
                stream = await client.responses.create(**RESPONSE, stream=True)
                return "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_blocking_sdk_call_is_booked_as_billed(module_bench, sidecar, monkeypatch, mode, kind):
    """Each dialect, unary and streamed: the answer arrives whole, and the books equal the bill to the nano."""
    _settings(mode, sidecar, monkeypatch)
    with module_bench.balanced() as grown:
        assert len(_call(kind)) == 32 * 4
    assert grown().spent > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
async def test_an_async_sdk_call_is_booked_as_billed(module_bench, sidecar, monkeypatch, mode, kind):
    """The same with the async clients."""
    _settings(mode, sidecar, monkeypatch)
    with module_bench.balanced() as grown:
        assert len(await _call_async(kind)) == 32 * 4
    assert grown().spent > 0


def test_every_class_of_tokens_is_priced(module_bench, sidecar, monkeypatch):
    """Cache reads, cache writes of both lifetimes and hidden reasoning: booked as billed."""
    _settings("proxy", sidecar, monkeypatch)
    said = {"x-sim-input-tokens": "9000", "x-sim-cached-tokens": "4000", "x-sim-output-tokens": "300"}
    written = {"x-sim-cache-write-tokens": "3000", "x-sim-cache-write-1h-tokens": "1000"}
    big = [{"role": "user", "content": "word " * 9000}]
    with module_bench.balanced(3):
        openai.OpenAI().chat.completions.create(model="gpt-4o", messages=big, extra_headers=said)
        openai.OpenAI().responses.create(
            model="gpt-5", input="word " * 9000, extra_headers={**said, "x-sim-reasoning-tokens": "200"}
        )
        block = {"type": "text", "text": "word " * 9000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        anthropic.Anthropic().messages.create(
            model="claude-haiku-4-5",
            max_tokens=400,
            messages=[{"role": "user", "content": [block]}],
            extra_headers={**said, **written},
        )


def test_the_usage_chunk_is_asked_for_and_taken_out_again(module_bench, sidecar, monkeypatch):
    """A caller that did not ask sees no chunk without choices; the provider was asked all the same."""
    _settings("proxy", sidecar, monkeypatch)
    with module_bench.balanced():
        chunks = list(
            openai.OpenAI().chat.completions.create(**CHAT, stream=True, extra_headers={"x-sim-label": "quiet"})
        )
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    (seen,) = [call for call in module_bench.seen() if call["label"] == "quiet"]
    assert seen["body"]["stream_options"] == {"include_usage": True}


def test_a_caller_that_asked_for_the_usage_chunk_gets_it(module_bench, sidecar, monkeypatch):
    """The chunk without choices passes, and the request's body was left as it was."""
    _settings("proxy", sidecar, monkeypatch)
    asked = {"include_usage": True}
    with module_bench.balanced():
        chunks = list(
            openai.OpenAI().chat.completions.create(
                **CHAT, stream=True, stream_options=asked, extra_headers={"x-sim-label": "asked"}
            )
        )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 32
    (seen,) = [call for call in module_bench.seen() if call["label"] == "asked"]
    assert seen["body"] == {**CHAT, "stream": True, "stream_options": asked}


def test_a_call_that_needs_no_change_is_forwarded_byte_for_byte(module_bench, sidecar, client):
    """Odd spacing and key order reach the provider: a body is only written anew where it must change."""
    body = b'{ "messages":[{"content":"hi","role":"user"}],\n "model":"gpt-4o", "max_tokens" : 9 }'
    with module_bench.balanced():
        headers = {"content-type": "application/json", "x-sim-label": "bytes", "authorization": "Bearer k"}
        answer = client(sidecar).post("https://api.openai.com/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200
    (seen,) = [call for call in module_bench.seen() if call["label"] == "bytes"]
    assert seen["headers"]["content-length"] == str(len(body))
    assert seen["headers"]["accept-encoding"] == "identity"
    assert seen["headers"]["authorization"] == "Bearer k"


def test_own_headers_never_reach_the_provider(module_bench, sidecar, client):
    """`x-wfb-…` headers are for the sidecar."""
    answer = client(sidecar).post(
        "https://api.openai.com/v1/chat/completions",
        json=CHAT,
        headers={"X-WFB-Run": "r1", "x-wfb-agent": "a", "x-sim-label": "own"},
    )
    assert answer.status_code == 200
    (seen,) = [call for call in module_bench.seen() if call["label"] == "own"]
    assert [name for name in seen["headers"] if name.startswith("x-wfb")] == []


@pytest.mark.parametrize("sdk", ["openai-chat", "openai-responses", "anthropic"])
def test_at_the_limit_an_sdk_makes_one_attempt_and_says_why(make_bench, monkeypatch, sdk):
    """402 is told in the provider's shape with the budget's numbers, raised as a status error, and not retried."""
    bench = make_bench(usd="0.004", limits=[{"window": "Day", "usd": "0.004"}])
    sidecar = bench.sidecar()
    _settings("proxy", sidecar, monkeypatch)
    call, library = {
        "openai-chat": (lambda: openai.OpenAI().chat.completions.create(**CHAT), openai),
        "openai-responses": (lambda: openai.OpenAI().responses.create(**RESPONSE), openai),
        "anthropic": (lambda: anthropic.Anthropic().messages.create(**MESSAGE), anthropic),
    }[sdk]
    with pytest.raises(library.APIStatusError) as caught:
        for _ in range(50):
            call()
    error = caught.value
    assert error.status_code == 402
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.response.headers
    assert sidecar.metric("calls_refused_total", provider=sdk.partition("-")[0], reason="BudgetExhausted") == 1
    told = error.response.json()["error"]["budget"]
    assert told["reason"] == "BudgetExhausted"
    assert told["budget"] == "test/tested"
    assert (told["limit"], told["scope"]) == ("0.004", "Day")
    assert float(told["spent"]) + float(told["remaining"]) == pytest.approx(0.004)
    assert told["resetsAt"].endswith("00:00:00+00:00")
    assert told["decision"] in error.response.text
    books = bench.settled()
    assert books.spent == bench.bill() <= 4_000_000
    assert books.refused() == 1
    assert [d["reason"] for d in bench.decisions()] == ["BudgetExhausted"]


def test_a_clamped_answer_is_a_normal_stop_for_the_sdk(make_bench, monkeypatch):
    """Near the limit the cap is lowered; the caller sees finish_reason length, not an error."""
    bench = make_bench(usd="0.03")
    bench.behave(output_tokens=5000)
    sidecar = bench.sidecar()
    _settings("proxy", sidecar, monkeypatch)
    with bench.balanced(3):
        chat = openai.OpenAI().chat.completions.create(model="gpt-4o", messages=HELLO)
        chunks = list(openai.OpenAI().chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
        message = anthropic.Anthropic().messages.create(**{**MESSAGE, "max_tokens": 5000})
    assert chat.choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].finish_reason == "length"
    assert message.stop_reason == "max_tokens"
    asked = [c["body"].get("max_completion_tokens") or c["body"].get("max_tokens") for c in bench.seen()]
    assert all(256 <= cap < 5000 for cap in asked)
    assert bench.books().spent <= 30_000_000


def test_nothing_of_the_content_is_told_or_kept(make_bench, monkeypatch, caplog):
    """Prompt, answer, key and headers are in no report, log line, journal or wallet, whatever became of the call."""
    bench = make_bench()
    sidecar = bench.sidecar()
    _settings("proxy", sidecar, monkeypatch)
    prompt = [{"role": "user", "content": "MARK-PROMPT"}]
    headers = {"x-custom": "MARK-HEADER"}
    for fault in ("", "cut", "no-usage", "malformed-frame", "400", "500", "not-json"):
        for stream in (False, True):
            one = openai.OpenAI(api_key="sk-MARK-KEY", max_retries=0)
            try:
                answer = one.chat.completions.create(
                    model="gpt-4o",
                    messages=prompt,
                    stream=stream,
                    extra_headers={**headers, "x-sim-fault": fault},
                )
                list(answer)
            except Exception:
                pass
    one = openai.OpenAI(api_key="sk-MARK-KEY", max_retries=0)
    with pytest.raises(openai.APIStatusError):
        one.post("/chat/completions", body={"model": 5, "messages": prompt}, cast_to=object)
    with pytest.raises(openai.APIStatusError):
        one.post("/embeddings?q=MARK-QUERY", body={"input": "MARK-PROMPT"}, cast_to=object)
    with pytest.raises(openai.APIStatusError):
        one.chat.completions.create(model="no-such-model", messages=prompt, extra_headers=headers)
    bench.settled()
    assert len(bench.dispatches) > 3
    assert len(bench.decisions()) >= 8
    kept = [file.read_bytes() for file in (bench.folder / "sidecar-a").rglob("*") if file.is_file()]
    for text in (*bench.dispatches, *kept, caplog.text.encode()):
        assert b"MARK" not in text
        assert b"the sum was" not in text
