"""The simulator as the real OpenAI and Anthropic SDKs see it: usage they read is the usage it bills."""

import asyncio
from decimal import Decimal

import anthropic
import openai
import pytest

from simulator import Provider, running
from simulator.usage import Usage

DIALECTS = ("chat", "responses", "messages")
MODELS = {"chat": "gpt-4o-mini", "responses": "gpt-5-mini", "messages": "claude-haiku-4-5"}
SERVED = {
    "chat": "gpt-4o-mini-2024-07-18",
    "responses": "gpt-5-mini-2025-08-07",
    "messages": "claude-haiku-4-5-20251001",
}
CAPS = {"chat": "max_completion_tokens", "responses": "max_output_tokens", "messages": "max_tokens"}
ENDS = {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens"}


def client(dialect, urls, *, is_async):
    """The SDK's client for a dialect, without retries."""
    if dialect == "messages":
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return kind(base_url=urls.plain, api_key="test", max_retries=0)
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=f"{urls.plain}/v1", api_key="test", max_retries=0)


def resource(dialect, sdk):
    """Where the SDK keeps the dialect's calls."""
    return {"chat": lambda: sdk.chat.completions, "responses": lambda: sdk.responses, "messages": lambda: sdk.messages}[
        dialect
    ]()


def arguments(dialect, *, stream=False, cap=None, headers=None, **more):
    """The SDK's arguments for one call."""
    said = {"model": MODELS[dialect], "extra_headers": headers or {}, **more}
    prompt = [{"role": "user", "content": "How much is left of the budget?"}]
    said["input" if dialect == "responses" else "messages"] = prompt
    if stream:
        said["stream"] = True
        if dialect == "chat":
            said.setdefault("stream_options", {"include_usage": True})
    if dialect == "messages":
        cap = cap or 1000
    if cap is not None:
        said[CAPS[dialect]] = cap
    return said


async def ask(dialect, urls, *, is_async=True, stream=False, **said):
    """One call: the answer, or the list of a stream's events."""
    said = arguments(dialect, stream=stream, **said)
    if is_async:
        async with client(dialect, urls, is_async=True) as sdk:
            got = await resource(dialect, sdk).create(**said)
            return [event async for event in got] if stream else got

    def run():
        """The call in a thread of its own."""
        with client(dialect, urls, is_async=False) as sdk:
            got = resource(dialect, sdk).create(**said)
            return list(got) if stream else got

    return await asyncio.to_thread(run)


def told(dialect, got):
    """What the answer says: its usage in the bill's words, the text, the model, why it ended."""
    return {"chat": _told_by_chat, "responses": _told_by_responses, "messages": _told_by_messages}[dialect](got)


def _told_by_chat(got):
    last = got[-1] if isinstance(got, list) else got
    used, inputs, outputs = last.usage, last.usage.prompt_tokens_details, last.usage.completion_tokens_details
    usage = Usage(
        used.prompt_tokens,
        inputs.cached_tokens,
        inputs.cache_write_tokens,
        0,
        used.completion_tokens,
        outputs.reasoning_tokens,
    )
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens
    if not isinstance(got, list):
        return usage, "".join(c.message.content for c in got.choices), got.model, got.choices[0].finish_reason
    choices = [choice for event in got for choice in event.choices]
    words = "".join(choice.delta.content or "" for choice in choices)
    return usage, words, last.model, choices[-1].finish_reason


def _told_by_responses(got):
    streamed = isinstance(got, list)
    last = got[-1].response if streamed else got
    used = last.usage
    usage = Usage(
        used.input_tokens,
        used.input_tokens_details.cached_tokens,
        used.input_tokens_details.cache_write_tokens,
        0,
        used.output_tokens,
        used.output_tokens_details.reasoning_tokens,
    )
    words = last.output_text
    if streamed:
        assert words == "".join(event.delta for event in got if event.type == "response.output_text.delta")
        assert [event.sequence_number for event in got] == list(range(len(got)))
        assert got[-1].type == f"response.{last.status}"
    return usage, words, last.model, last.incomplete_details.reason if last.incomplete_details else "stop"


def _told_by_messages(got):
    if isinstance(got, list):
        start = next(event.message for event in got if event.type == "message_start")
        delta = next(event for event in got if event.type == "message_delta")
        used, kept, reason = delta.usage, start.usage.cache_creation, delta.delta.stop_reason
        words = "".join(event.delta.text for event in got if event.type == "content_block_delta")
        assert start.usage.input_tokens == used.input_tokens
        model = start.model
    else:
        used, kept, reason, model = got.usage, got.usage.cache_creation, got.stop_reason, got.model
        words = "".join(block.text for block in got.content)
    read, write = used.cache_read_input_tokens, used.cache_creation_input_tokens
    assert kept.ephemeral_5m_input_tokens + kept.ephemeral_1h_input_tokens == write
    hidden = used.output_tokens_details.thinking_tokens if used.output_tokens_details else 0
    whole = used.input_tokens + read + write
    return Usage(whole, read, write, kept.ephemeral_1h_input_tokens, used.output_tokens, hidden), words, model, reason


@pytest.fixture
async def provider():
    """A provider that bills abandoned streams whole."""
    return Provider()


@pytest.fixture
async def urls(provider):
    """Where it listens."""
    async with running(provider) as urls:
        yield urls


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_bill_is_the_usage_the_sdk_reads(provider, urls, dialect, stream, is_async):
    """Every class of tokens that the SDK reads is the class that is billed, and the text has the visible tokens."""
    headers = {
        "x-sim-input-tokens": "1000",
        "x-sim-cached-tokens": "300",
        "x-sim-cache-write-tokens": "200",
        "x-sim-output-tokens": "50",
        "x-sim-reasoning-tokens": "20",
        "x-sim-label": "one",
    }
    got = await ask(dialect, urls, is_async=is_async, stream=stream, headers=headers)
    usage, words, model, reason = told(dialect, got)
    (line,) = provider.bill.lines
    assert usage == Usage(1000, 300, 200, 0, 50, 20) == line.usage
    assert len(words) == 30 * 4
    assert model == SERVED[dialect] == line.served_model
    assert reason in {"stop", "end_turn"}
    assert (line.model, line.label, line.stream, line.cut, line.usage_withheld) == (
        MODELS[dialect],
        "one",
        stream,
        False,
        False,
    )


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_without_headers_the_text_is_counted(provider, urls, dialect, stream):
    """A call that says nothing about its behaviour has a quarter of its text's bytes as input, and default output."""
    usage, *_ = told(dialect, await ask(dialect, urls, stream=stream))
    assert usage == Usage(8, 0, 0, 0, 32, 0) == provider.bill.lines[0].usage


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_hours_cache_writes_are_billed_at_their_own_rate(provider, urls, stream):
    """Anthropic's hour is told in the breakdown and billed at its own rate."""
    headers = {
        "x-sim-input-tokens": "1000",
        "x-sim-cache-write-tokens": "500",
        "x-sim-cache-write-1h-tokens": "400",
        "x-sim-output-tokens": "10",
    }
    usage, *_ = told("messages", await ask("messages", urls, stream=stream, headers=headers))
    assert usage == Usage(1000, 0, 500, 400, 10, 0) == provider.bill.lines[0].usage
    assert provider.bill.lines[0].usd == Decimal(
        "0.001475"
    )  # 500 at 1, 100 at 1.25, 400 at 2, 10 at 5 dollars a million


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_choices_multiply_output(provider, urls, stream):
    """With n choices the input is billed once and the output n times."""
    headers = {"x-sim-input-tokens": "100", "x-sim-output-tokens": "12", "x-sim-reasoning-tokens": "2"}
    usage, words, *_ = told("chat", await ask("chat", urls, stream=stream, headers=headers, n=3))
    assert usage == Usage(100, 0, 0, 0, 36, 6) == provider.bill.lines[0].usage
    assert len(words) == 3 * 10 * 4


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("wanted", "hidden", "cap", "billed", "shown"),
    [
        pytest.param(100, 0, 40, 40, 40, id="text"),
        pytest.param(100, 30, 40, 40, 10, id="some of it hidden"),
        pytest.param(100, 60, 40, 40, 0, id="all of it hidden"),
    ],
)
async def test_a_cap_is_a_hard_stop(provider, urls, dialect, stream, wanted, hidden, cap, billed, shown):
    """No answer has more tokens than its cap, hidden ones included, and it says why it ended."""
    headers = {"x-sim-output-tokens": str(wanted), "x-sim-reasoning-tokens": str(hidden)}
    usage, words, _, reason = told(dialect, await ask(dialect, urls, stream=stream, headers=headers, cap=cap))
    assert usage.output == billed == provider.bill.lines[0].usage.output
    assert len(words) == shown * 4
    assert reason == ENDS[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_just_fits_its_cap_is_complete(urls, dialect):
    """A cap that is met but not passed is no reason to say so."""
    *_, reason = told(dialect, await ask(dialect, urls, headers={"x-sim-output-tokens": "40"}, cap=40))
    assert reason in {"stop", "end_turn"}


async def test_the_old_cap_of_chat_counts_too(provider, urls):
    """``max_tokens`` stops a chat as ``max_completion_tokens`` does."""
    got = await ask("chat", urls, headers={"x-sim-output-tokens": "100"}, max_tokens=7)
    assert told("chat", got)[0].output == 7 == provider.bill.lines[0].usage.output


@pytest.mark.parametrize(
    ("options", "usages"),
    [
        pytest.param({"include_usage": True}, [None] * 4 + [True], id="asked"),
        pytest.param({"include_usage": False}, [None] * 4, id="refused"),
        pytest.param(openai.NOT_GIVEN, [None] * 4, id="not asked"),
    ],
)
async def test_a_chat_stream_tells_usage_only_if_asked(urls, options, usages):
    """The usage chunk comes last, has no choices, and comes only where it was asked for."""
    events = await ask("chat", urls, stream=True, headers={"x-sim-output-tokens": "16"}, stream_options=options)
    assert [event.usage and True for event in events] == usages
    assert [len(event.choices) for event in events] == [1] * 4 + [0] * (len(usages) - 4)
    assert {"usage" in event.model_fields_set for event in events} == {options == {"include_usage": True}}


async def test_the_sdks_own_stream_helpers_agree(urls):
    """The helpers that put a stream together again arrive at the unary answer."""
    headers = {"x-sim-output-tokens": "40", "x-sim-reasoning-tokens": "8"}
    async with client("chat", urls, is_async=True) as sdk:
        said = arguments("chat", headers=headers, stream_options={"include_usage": True})
        async with sdk.chat.completions.stream(**said) as stream:
            chat = await stream.get_final_completion()
    async with (
        client("responses", urls, is_async=True) as sdk,
        sdk.responses.stream(**arguments("responses", headers=headers)) as stream,
    ):
        response = await stream.get_final_response()
    async with (
        client("messages", urls, is_async=True) as sdk,
        sdk.messages.stream(**arguments("messages", headers=headers)) as stream,
    ):
        message = await stream.get_final_message()
    for dialect, got in (("chat", chat), ("responses", response), ("messages", message)):
        usage, words, _, reason = told(dialect, got)
        assert (usage.output, usage.reasoning, len(words)) == (40, 8, 32 * 4)
        assert reason in {"stop", "end_turn"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", ["400", "401", "404", "429", "500", "503", "529"])
async def test_errors_come_in_the_providers_shape_and_cost_nothing(provider, urls, dialect, status):
    """Each error fault raises the SDK's error for that status, with the provider's kind in it."""
    library = anthropic if dialect == "messages" else openai
    with pytest.raises(library.APIStatusError) as raised:
        await ask(dialect, urls, stream=True, headers={"x-sim-fault": status})
    assert raised.value.status_code == int(status)
    assert raised.value.request_id
    assert raised.value.body["type" if library is openai else "error"]
    assert provider.bill.lines == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_model_nobody_has_is_not_found(provider, urls, dialect):
    """An unknown model is 404 in the provider's shape, and costs nothing."""
    library = anthropic if dialect == "messages" else openai
    with pytest.raises(library.NotFoundError, match="gpt-nobody"):
        await _with_model(dialect, urls, "gpt-nobody")
    assert provider.bill.lines == []


async def _with_model(dialect, urls, model):
    async with client(dialect, urls, is_async=True) as sdk:
        return await resource(dialect, sdk).create(**{**arguments(dialect), "model": model})


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("chat", "gpt-4o-2024-08-06"),
        ("chat", "gpt-4o-2024-11-20"),
        ("chat", "gpt-4o-2024-05-13"),
        ("messages", "claude-haiku-4-5-20251001"),
    ],
)
async def test_dated_models_are_served_as_themselves(provider, urls, dialect, model):
    """A dated name is answered and billed by that name."""
    got = await _with_model(dialect, urls, model)
    assert got.model == model == provider.bill.lines[0].served_model


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_metadata_says_what_headers_say(provider, urls, dialect, stream):
    """A caller without headers puts its wishes into the request's metadata; a header wins over them."""
    wish = "output-tokens=5; label=by metadata"
    metadata = {"user_id": f"sim:{wish}"} if dialect == "messages" else {"sim": wish}
    await ask(dialect, urls, stream=stream, metadata=metadata)
    await ask(dialect, urls, stream=stream, metadata=metadata, headers={"x-sim-output-tokens": "6"})
    assert [(line.usage.output, line.label) for line in provider.bill.lines] == [(5, "by metadata"), (6, "by metadata")]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_broken_frame_is_the_sdks_to_report_and_is_billed(provider, urls, dialect):
    """One frame in the middle is no JSON: the SDK stops there, the provider bills the whole."""
    with pytest.raises(ValueError, match="Unterminated string"):
        await ask(dialect, urls, stream=True, headers={"x-sim-fault": "malformed-frame"})
    (line,) = provider.bill.lines
    assert (line.usage.output, line.usage_withheld) == (32, False)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_compression_that_nobody_asked_for_is_still_readable(provider, urls, dialect, stream):
    """The SDK undoes it, and reads what is billed."""
    headers = {"x-sim-fault": "gzip", "accept-encoding": "identity"}
    usage, *_ = told(dialect, await ask(dialect, urls, stream=stream, headers=headers))
    assert usage == provider.bill.lines[0].usage


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_sdk_notices_a_cut(provider, urls, dialect, is_async):
    """A connection that closes in the middle of the stream raises in the SDK."""
    with pytest.raises(Exception, match=r"incomplete|closed|[Cc]onnection"):
        await ask(dialect, urls, is_async=is_async, stream=True, headers={"x-sim-fault": "cut"})
    assert provider.bill.lines[0].cut


async def test_a_wish_the_simulator_does_not_know_is_refused(provider, urls):
    """A mistyped header fails the call that has it, instead of changing nothing."""
    with pytest.raises(openai.BadRequestError, match="'fualt' is not something the simulator does"):
        await ask("chat", urls, headers={"x-sim-fualt": "cut"})
    with pytest.raises(openai.BadRequestError, match="pace-ms '-1' is not a count"):
        await ask("chat", urls, headers={"x-sim-pace-ms": "-1"})
    assert provider.bill.lines == []


@pytest.mark.parametrize(
    ("dialect", "change", "message"),
    [
        ("chat", {"max_tokens": 20_000}, "too large"),
        ("messages", {"max_tokens": 70_000, "stream": True}, "maximum allowed number of output tokens"),
        ("chat", {"max_tokens": 5, "max_completion_tokens": 5}, "at the same time"),
        ("chat", {"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ("responses", {"max_output_tokens": -1}, "expected an integer of at least 1"),
    ],
)
async def test_requests_the_providers_refuse_are_refused(provider, urls, dialect, change, message):
    """What the real provider answers with 400 is answered with 400, and costs nothing."""
    library = anthropic if dialect == "messages" else openai
    async with client(dialect, urls, is_async=True) as sdk:
        with pytest.raises(library.BadRequestError, match=message):
            await resource(dialect, sdk).create(**{**arguments(dialect), **change})
    assert provider.bill.lines == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_input_beyond_the_context_window_is_refused(provider, urls, dialect):
    """Longer input than the model takes is 400 in the provider's words."""
    library = anthropic if dialect == "messages" else openai
    with pytest.raises(library.BadRequestError, match=r"maximum"):
        await ask(dialect, urls, headers={"x-sim-input-tokens": "900000"})
    assert provider.bill.lines == []


async def test_models_and_files_through_the_sdks(provider, urls):
    """The models are listed in each provider's shape, and an upload is swallowed and counted."""
    async with client("chat", urls, is_async=True) as sdk:
        assert {"gpt-4o", "gpt-4o-2024-08-06"} <= {model.id async for model in sdk.models.list()}
        uploaded = await sdk.files.create(file=("lines.jsonl", b"x" * 3_000_000), purpose="batch")
    assert uploaded.bytes == provider.uploaded_bytes > 3_000_000
    async with client("messages", urls, is_async=True) as sdk:
        assert "claude-haiku-4-5" in {model.id async for model in sdk.models.list()}
        assert (await sdk.models.retrieve("claude-haiku-4-5")).id == "claude-haiku-4-5"
    assert provider.bill.lines == []


async def test_a_key_can_be_required():
    """With a key of its own the provider refuses every other, whichever header carries it."""
    provider = Provider(api_key="right")
    async with running(provider) as urls:
        with pytest.raises(openai.AuthenticationError):
            await ask("chat", urls)
        with pytest.raises(anthropic.AuthenticationError):
            await ask("messages", urls)
        async with openai.AsyncOpenAI(base_url=f"{urls.plain}/v1", api_key="right") as sdk:
            await sdk.chat.completions.create(**arguments("chat"))
        async with anthropic.AsyncAnthropic(base_url=urls.plain, api_key="right") as sdk:
            await sdk.messages.create(**arguments("messages"))
    assert [line.provider for line in provider.bill.lines] == ["openai", "anthropic"]
