"""Groq as its own SDK sees it: usage in x_groq, and in a chunk of its own where asked."""

import asyncio

import groq
import pytest

from simulator.usage import Usage

SAID = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}
TOLD = Usage(1000, 300, 0, 0, 50, 20)


@pytest.fixture
def ask(urls):
    """One call in a thread of its own: the answer, or the list of a stream's chunks."""

    def run(headers=SAID, **said):
        """The call."""
        with groq.Groq(base_url=urls.at("api.groq.com"), api_key="fake", max_retries=0) as sdk:
            got = sdk.chat.completions.create(
                model="openai/gpt-oss-20b",
                messages=[{"role": "user", "content": "How?"}],
                extra_headers=headers,
                **said,
            )
            return list(got) if said.get("stream") else got

    return lambda **said: asyncio.to_thread(run, **said)


def told(used):
    """The usage in the bill's words."""
    return Usage(
        used.prompt_tokens,
        used.prompt_tokens_details.cached_tokens,
        0,
        0,
        used.completion_tokens,
        used.completion_tokens_details.reasoning_tokens,
    )


async def test_unary(provider, ask):
    """Text and usage are those billed."""
    got = await ask()
    assert told(got.usage) == TOLD == provider.bill.lines[0].usage
    assert len(got.choices[0].message.content) == 30 * 4


async def test_stream(provider, ask):
    """The chunk that ends the text has the usage under x_groq, unasked."""
    got = await ask(stream=True)
    assert [bool(chunk.x_groq and chunk.x_groq.usage) for chunk in got] == [False] * (len(got) - 1) + [True]
    assert told(got[-1].x_groq.usage) == TOLD == provider.bill.lines[0].usage


async def test_stream_that_is_asked_for_usage(provider, ask):
    """Asked for, the usage comes twice, and is billed once."""
    got = await ask(stream=True, extra_body={"stream_options": {"include_usage": True}})
    assert told(got[-1].usage) == told(got[-2].x_groq.usage) == TOLD
    assert len(provider.bill.lines) == 1


async def test_errors(provider, ask):
    """The SDK raises its error for the status."""
    with pytest.raises(groq.RateLimitError):
        await ask(headers={"x-sim-fault": "429"})
    assert provider.bill.lines == []
