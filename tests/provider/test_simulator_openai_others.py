"""OpenAI beside chat and responses, through its SDK: completions, embeddings, images, audio, batches, background, sockets."""

from decimal import Decimal

import openai
import pytest

from simulator.usage import Usage

SAID = {"x-sim-input-tokens": "1000", "x-sim-output-tokens": "50"}
TOLD = Usage(1000, 0, 0, 0, 50, 0)


@pytest.fixture
async def client(urls):
    """The SDK's client."""
    async with openai.AsyncOpenAI(
        base_url=f"{urls.plain}/v1", api_key="fake", max_retries=0, default_headers=SAID
    ) as sdk:
        yield sdk


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_completions(provider, client, stream):
    """Text and usage are those billed; without a cap there are sixteen tokens."""
    said = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    got = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=100, **said)
    events = [event async for event in got] if stream else [got]
    assert "".join(choice.text for event in events for choice in event.choices).count(" ") >= 50
    used = events[-1].usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (1000, 50, 1050)
    assert (provider.bill.lines[0].usage, provider.bill.lines[0].usd) == (TOLD, Decimal("0.0016"))
    plain = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once")
    assert plain.usage.completion_tokens == 16


async def test_embeddings(provider, client):
    """The SDK asks for base64 and undoes it."""
    got = await client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [row.embedding for row in got.data] == [[0.25, -0.5, 0.75]] * 2
    assert got.usage.prompt_tokens == got.usage.total_tokens == 1000
    assert provider.bill.lines[0].usd == Decimal("0.00002")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_images(provider, client, stream):
    """Images cost tokens; a stream tells them with the finished image."""
    said = {"stream": True, "partial_images": 1} if stream else {"n": 2}
    got = await client.images.generate(model="gpt-image-1", prompt="a bill", **said)
    used = [event async for event in got][-1].usage if stream else got.usage
    output = 50 if stream else 100
    assert (used.input_tokens, used.output_tokens, used.total_tokens) == (1000, output, 1000 + output)
    assert provider.bill.lines[0].usage == Usage(1000, 0, 0, 0, output, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_transcription_by_tokens(provider, client, stream):
    """Newer models tell tokens, of audio and of text."""
    sound = ("sound.wav", b"\0" * 64_000)
    got = await client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=sound, stream=stream)
    used = ([event async for event in got][-1] if stream else got).usage
    assert (used.type, used.input_tokens, used.output_tokens) == ("tokens", 1000, 50)
    assert used.input_token_details.audio_tokens == 1000
    assert provider.bill.lines[0].usage == TOLD


async def test_transcription_by_the_second(provider, client):
    """Older models tell seconds, and cost those; in a text format nothing is told."""
    sound = ("sound.wav", b"\0" * 16_000 * 12)
    got = await client.audio.transcriptions.create(model="whisper-1", file=sound)
    assert (got.usage.type, got.usage.seconds) == ("duration", 12)
    plain = await client.audio.transcriptions.create(model="whisper-1", file=sound, response_format="text")
    assert plain.startswith("the sum")
    assert [(line.units, line.usd) for line in provider.bill.lines] == [({"seconds": 12}, Decimal("0.0012"))] * 2


async def test_speech(provider, client):
    """Speech answers with sound; older models cost characters, newer tokens that only an event stream tells."""
    got = await client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    assert len(got.content) == 4096
    async with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="hello", stream_format="sse"
    ) as stream:
        lines = [line async for line in stream.iter_lines()]
    assert '"usage":{"input_tokens":1000,"output_tokens":50,"total_tokens":1050}' in lines[-2]
    old, new = provider.bill.lines
    assert (old.units, old.usd) == ({"characters": 5}, Decimal("0.000075"))
    assert (new.usage, new.usd) == (TOLD, Decimal("0.0012"))


async def test_a_batch_is_found_done_later(provider, client):
    """A batch costs half, is billed when it is made, and tells its usage when it is done, as often as it is asked."""
    made = await client.batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", metadata={"model": "gpt-4o"}
    )
    assert (made.status, made.usage) == ("validating", None)
    found = [await client.batches.retrieve(made.id) for _ in range(3)]
    assert [batch.status for batch in found] == ["in_progress", "completed", "completed"]
    assert [batch.usage and batch.usage.total_tokens for batch in found] == [None, 1050, 1050]
    (line,) = provider.bill.lines
    assert (line.id, line.usage, line.usd) == (made.id, TOLD, Decimal("0.0015"))


async def test_a_response_in_the_background_is_polled(provider, client):
    """A queued response tells nothing; polls find it at work, then done, with one bill for all of them."""
    headers = {"x-sim-polls": "2", "x-sim-reasoning-tokens": "20"}
    made = await client.responses.create(model="gpt-5-mini", input="How?", background=True, extra_headers=headers)
    assert (made.status, made.usage, made.background) == ("queued", None, True)
    found = [await client.responses.retrieve(made.id) for _ in range(4)]
    assert [response.status for response in found] == ["in_progress", "in_progress", "completed", "completed"]
    assert found[0].usage is None
    used = found[-1].usage
    assert (used.input_tokens, used.output_tokens, used.output_tokens_details.reasoning_tokens) == (1000, 50, 20)
    assert [(line.id, line.usage.output) for line in provider.bill.lines] == [(made.id, 50)]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_unknown")


async def test_token_counts_are_free(provider, client):
    """Counting input leaves no line."""
    got = await client.responses.input_tokens.count(model="gpt-5-mini", input="12345678")
    assert got.input_tokens == 2
    assert provider.bill.lines == []


async def test_realtime(provider, urls):
    """Each response of a socket tells its own usage, and is billed by itself."""
    socket = urls.plain.replace("http", "ws", 1) + "/v1"
    async with openai.AsyncOpenAI(api_key="fake", websocket_base_url=socket) as sdk:
        done = []
        headers = {**SAID, "x-sim-cached-tokens": "300"}
        async with sdk.realtime.connect(
            model="gpt-realtime", extra_headers=headers, websocket_connection_options={"proxy": None}
        ) as connection:
            for _ in range(2):
                await connection.response.create()
                async for event in connection:
                    if event.type == "response.done":
                        done.append(event.response)
                        break
    await provider.bill.idle()
    for response, line in zip(done, provider.bill.lines, strict=True):
        used = response.usage
        assert (used.input_tokens, used.output_tokens, used.total_tokens) == (1000, 50, 1050)
        assert used.input_token_details.cached_tokens == 300
        assert (line.id, line.usage) == (response.id, Usage(1000, 300, 0, 0, 50, 0))
