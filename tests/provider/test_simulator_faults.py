"""What reaches the wire when the simulator misbehaves on request, and when its client leaves."""

import asyncio
import gzip
import json

import aiohttp
import pytest

from simulator import Provider, running
from simulator import provider as simulated

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
BODIES = {
    "chat": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "gpt-4o", "input": "hello"},
    "messages": {"model": "claude-sonnet-4-5", "max_tokens": 5000, "messages": [{"role": "user", "content": "hello"}]},
}
DIALECTS = tuple(PATHS)
DELTAS = {"chat": b'"content":"', "responses": b"output_text.delta\ndata", "messages": b"text_delta"}


@pytest.fixture
async def provider():
    """A provider that bills abandoned streams whole."""
    return Provider()


@pytest.fixture
async def urls(provider):
    """Where it listens."""
    async with running(provider) as urls:
        yield urls


@pytest.fixture
async def post(urls):
    """Posts a call and returns status, headers and the bytes of the body as they came."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def post(dialect, fault="", *, stream=False, **said):
            """One call, behaving as said."""
            headers = {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in said.items()}
            body = {**BODIES[dialect], "stream": stream}
            async with session.post(
                urls.plain + PATHS[dialect], json=body, headers={**headers, "x-sim-fault": fault}
            ) as answer:
                return answer.status, answer.headers, await answer.read()

        yield post


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_usage_withheld_is_billed_and_flagged(provider, post, dialect, stream):
    """The answer holds no usage at all; the bill does, and says that nobody was told."""
    _, _, body = await post(dialect, "no-usage", stream=stream, output_tokens=11)
    assert b"_tokens" not in body.replace(b"max_output_tokens", b"").replace(b"max_tokens", b"")
    (line,) = provider.bill.lines
    assert (line.usage.output, line.usage_withheld) == (11, True)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_broken_usage_is_negative_and_words(provider, post, dialect):
    """Where counts belong there are negative numbers and words; the bill has the truth."""
    _, _, body = await post(dialect, "broken-usage", output_tokens=11)
    counts = _numbers(json.loads(body)["usage"])
    assert any(isinstance(count, int) and count < 0 for count in counts)
    assert any(isinstance(count, str) and count.startswith("about") for count in counts)
    assert not any(isinstance(count, int) and count >= 0 for count in counts)
    (line,) = provider.bill.lines
    assert (line.usage.output, line.usage_withheld) == (11, True)


def _numbers(block):
    return [leaf for value in block.values() for leaf in (_numbers(value) if isinstance(value, dict) else [value])]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_an_answer_that_is_not_json(provider, post, stream):
    """200 and a page of HTML, billed all the same."""
    status, headers, body = await post("chat", "not-json", stream=stream)
    assert (status, headers["content-type"]) == (200, "text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)
    assert provider.bill.lines[0].usage_withheld


async def test_an_answer_shorter_than_it_says(provider, urls):
    """The body ends before its content-length; the call is billed whole."""
    async with aiohttp.ClientSession() as session:
        answer = await session.post(
            urls.plain + PATHS["chat"], json=BODIES["chat"], headers={"x-sim-fault": "truncate"}
        )
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    (line,) = provider.bill.lines
    assert (line.usage.output, line.cut, line.usage_withheld) == (32, True, True)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_that_ends_cleanly_without_its_closing_events(provider, post, dialect):
    """All the text comes, and then a proper end of the body instead of the end and usage that belong there."""
    _, _, body = await post(dialect, "truncate", stream=True)
    assert body.count(DELTAS[dialect]) == 4 + (dialect == "chat")  # chat's first chunk has empty content
    assert not any(end in body for end in (b"[DONE]", b"message_delta", b"response.completed"))
    assert provider.bill.lines[0].usage.output == 32


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_one_frame_is_broken_and_the_rest_is_fine(post, dialect):
    """Taking the broken frame out leaves the stream as it would have been."""
    _, _, body = await post(dialect, "malformed-frame", stream=True)
    frames = [frame.rpartition(b"data: ")[2] for frame in body.split(b"\n\n") if frame]
    broken = [frame for frame in frames if frame != b"[DONE]" and not _is_json(frame)]
    assert len(broken) == 1
    assert 0 < frames.index(broken[0]) < len(frames) - 2


def _is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_compressed_without_being_asked(post, stream):
    """The body is gzip and says so, though the client accepts only identity."""
    _, headers, body = await post("messages", "gzip", stream=stream)
    assert headers["content-encoding"] == "gzip"
    assert b"the sum was due" in gzip.decompress(body) if not stream else b"message_stop" in gzip.decompress(body)


async def test_several_answers_with_one_id(provider, post):
    """Every such call has the same id, and every one is billed."""
    bodies = [json.loads((await post("chat", fault))[2]) for fault in ("repeat-id", "repeat-id", "")]
    assert bodies[0]["id"] == bodies[1]["id"] != bodies[2]["id"]
    assert [line.id for line in provider.bill.lines] == [body["id"] for body in bodies]


async def test_an_error_may_say_when_to_come_back(provider, post):
    """``retry-after`` is there only if asked for."""
    assert (await post("chat", "429", retry_after=7))[1]["retry-after"] == "7"
    assert "retry-after" not in (await post("chat", "429"))[1]
    assert provider.bill.lines == []


@pytest.mark.parametrize(
    ("said", "deltas"), [({}, 4), ({"chunk_tokens": 1}, 32), ({"chunks": 3}, 3), ({"chunks": 99}, 32)]
)
async def test_the_size_of_chunks_is_adjustable(post, said, deltas):
    """The text comes in chunks of so many tokens, or in so many chunks."""
    _, _, body = await post("messages", stream=True, **said)
    assert body.count(DELTAS["messages"]) == deltas


@pytest.mark.parametrize(("bill_cut", "billed"), [("whole", 100), ("made", 10 + 48)])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_cut_stream_is_billed_by_the_servers_mode(provider, urls, dialect, bill_cut, billed):
    """The connection closes after half of the visible text: the whole is billed, or what was made, hidden included."""
    provider.behave({"bill-cut": bill_cut})
    headers = {"x-sim-fault": "cut", "x-sim-output-tokens": "100", "x-sim-reasoning-tokens": "10"}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(
            urls.plain + PATHS[dialect], json={**BODIES[dialect], "stream": True}, headers=headers
        )
        got = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            await _read_into(got, answer)
    assert got.count(DELTAS[dialect]) == 6 + (dialect == "chat")
    (line,) = provider.bill.lines
    assert (line.usage.output, line.usage.reasoning, line.cut, line.usage_withheld) == (billed, 10, True, False)


async def _read_into(got, answer):
    while True:
        got += await answer.content.readany()


async def test_a_cut_unary_answer_is_billed_whole(provider, urls):
    """What was made before it was sent is paid for, in either mode."""
    provider.behave({"bill-cut": "made"})
    async with aiohttp.ClientSession() as session:
        answer = await session.post(urls.plain + PATHS["chat"], json=BODIES["chat"], headers={"x-sim-fault": "cut"})
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert (provider.bill.lines[0].usage.output, provider.bill.lines[0].cut) == (32, True)


# clients that leave


def _request(dialect, *, stream, **said):
    body = json.dumps({**BODIES[dialect], "stream": stream}).encode()
    lines = [f"POST {PATHS[dialect]} HTTP/1.1", "host: simulator", f"content-length: {len(body)}"]
    lines += [f"x-sim-{name.replace('_', '-')}: {value}" for name, value in said.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _send(urls, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(urls.plain.rpartition(":")[2]))
    writer.write(request)
    return reader, writer


async def _read_chunks(reader, dialect, count):
    got = b""
    while got.count(DELTAS[dialect]) < count:
        got += await reader.read(4096)
    return got


@pytest.mark.parametrize(("bill_cut", "billed"), [("whole", 4000), ("made", 20 + 3 * 8)])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_whose_client_leaves(provider, urls, dialect, bill_cut, billed):
    """After three chunks the client leaves during a stall: the whole is billed, or exactly what it was sent."""
    provider.behave({"bill-cut": bill_cut})
    said = {"output_tokens": 4000, "reasoning_tokens": 20, "stall_after": 3, "stall_ms": 600_000}
    async with asyncio.timeout(20):
        reader, writer = await _send(urls, _request(dialect, stream=True, **said))
        await _read_chunks(reader, dialect, 3)
        assert provider.bill.lines == []
        writer.close()
        await provider.bill.idle()
    (line,) = provider.bill.lines
    assert (line.usage.output, line.usage.reasoning, line.cut) == (billed, 20, True)


@pytest.mark.parametrize(
    ("stream", "bill_cut", "billed"),
    [(False, "whole", 50), (False, "made", 50), (True, "whole", 50), (True, "made", 20)],
)
@pytest.mark.parametrize("said", [{"latency_ms": 600_000}, {"fault": "hang"}], ids=["slow", "hanging"])
async def test_a_client_that_leaves_before_the_first_byte(provider, urls, said, stream, bill_cut, billed):
    """A unary call is billed whole; a stream by the mode, with the hidden tokens that come before the first byte."""
    provider.behave({"bill-cut": bill_cut})
    request = _request("responses", stream=stream, output_tokens=50, reasoning_tokens=20, **said)
    async with asyncio.timeout(20):
        _, writer = await _send(urls, request)
        await provider.bill.busy()
        writer.close()
        await provider.bill.idle()
    (line,) = provider.bill.lines
    assert (line.usage.output, line.cut) == (billed, True)


async def test_a_hang_ends_by_itself(provider, urls, monkeypatch):
    """Without an answer the connection closes after its bound, and the call is billed."""
    monkeypatch.setattr(simulated, "HANG_SECONDS", 0.01)
    async with asyncio.timeout(20):
        reader, _ = await _send(urls, _request("chat", stream=False, fault="hang"))
        assert await reader.read() == b""
    assert provider.bill.lines[0].cut


async def test_errors_are_never_billed_whoever_leaves(provider, urls):
    """An error costs nothing, also if nobody waited for it."""
    async with asyncio.timeout(20):
        _, writer = await _send(urls, _request("chat", stream=False, fault="500", latency_ms=600_000))
        await provider.bill.busy()
        writer.close()
        await provider.bill.idle()
    assert provider.bill.lines == []


async def test_pace_and_stalls_lose_nothing(provider, urls):
    """A paced stream with a stall has the same text as one at once, and later calls on its connection are answered."""
    said = {"output_tokens": 20, "chunk_tokens": 4, "pace_ms": 1, "stall_after": 2, "stall_ms": 1, "latency_ms": 1}
    async with asyncio.timeout(20):
        reader, writer = await _send(urls, _request("messages", stream=True, **said))
        writer.write(_request("messages", stream=True, output_tokens=20, chunk_tokens=4))  # pipelined
        slow = await reader.readuntil(b"0\r\n\r\n")
        fast = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
    first, second = (line.id.encode() for line in provider.bill.lines)
    assert slow.replace(first, second) == fast
