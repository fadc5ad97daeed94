"""Providers of OpenAI's chat shape through OpenAI's SDK: where each tells usage, what is inside what, and its own cost."""

import asyncio
from decimal import Decimal

import openai
import pytest

from simulator.usage import Usage

SAID = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-cache-write-tokens": "200",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}
ROWS = {
    # provider: base URL, model, what it has words for, USD of that
    "groq": ("api.groq.com/openai/v1", "openai/gpt-oss-20b", Usage(1000, 300, 0, 0, 50, 20), "0.00007875"),
    "mistral": ("api.mistral.ai/v1", "mistral-small-latest", Usage(1000, 300, 0, 0, 50, 0), "0.0001395"),
    "x-ai": ("api.x.ai/v1", "grok-4-fast-reasoning", Usage(1000, 300, 0, 0, 50, 20), "0.00018"),
    "deepseek": ("api.deepseek.com", "deepseek-v4-flash", Usage(1000, 300, 0, 0, 50, 20), None),
    "perplexity": ("api.perplexity.ai", "sonar", Usage(1000, 0, 0, 0, 50, 0), "0.00605"),
    "openrouter": ("openrouter.ai/api/v1", "anthropic/claude-haiku-4.5", Usage(1000, 300, 200, 0, 50, 20), "0.00103"),
    "together": (
        "api.together.xyz/v1",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        Usage(1000, 0, 0, 0, 50, 0),
        "0.000924",
    ),
    "fireworks": (
        "api.fireworks.ai/inference/v1",
        "accounts/fireworks/models/gpt-oss-120b",
        Usage(1000, 300, 0, 0, 50, 0),
        None,
    ),
    "cerebras": ("api.cerebras.ai/v1", "gpt-oss-120b", Usage(1000, 300, 0, 0, 50, 0), None),
}
COSTS = {
    "x-ai": lambda used: Decimal(used.cost_in_usd_ticks).scaleb(-10),
    "perplexity": lambda used: Decimal(str(used.cost["total_cost"])),
    "openrouter": lambda used: Decimal(str(used.cost)),
}


def ask(urls, provider, **said):
    """One call in a thread of its own: the answer, or the list of a stream's chunks."""
    base, model, *_ = ROWS[provider]
    with openai.OpenAI(base_url=urls.at(base), api_key="fake", max_retries=0, default_headers=SAID) as sdk:
        got = sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "How?"}], **said)
        return list(got) if said.get("stream") else got


def told(provider, used):
    """The usage in the bill's words."""
    inputs, outputs = used.prompt_tokens_details, used.completion_tokens_details
    hidden = (outputs and outputs.reasoning_tokens) or 0
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens + (hidden if provider == "x-ai" else 0)
    return Usage(
        used.prompt_tokens,
        (inputs and inputs.cached_tokens) or 0,
        (inputs and inputs.cache_write_tokens) or 0,
        0,
        used.total_tokens - used.prompt_tokens,
        hidden,
    )


@pytest.mark.parametrize("provider_id", ROWS)
async def test_unary(provider, urls, provider_id):
    """The usage the SDK reads is billed, and the cost some providers tell is the bill's."""
    _, model, usage, usd = ROWS[provider_id]
    got = await asyncio.to_thread(ask, urls, provider_id)
    (line,) = provider.bill.lines
    assert told(provider_id, got.usage) == usage == line.usage
    assert (line.provider, line.model, line.served_model) == (provider_id, model, got.model)
    assert len(got.choices[0].message.content) == (usage.output - usage.reasoning) * 4
    assert usd is None or line.usd == Decimal(usd)
    if provider_id in COSTS:
        assert COSTS[provider_id](got.usage) == line.usd


@pytest.mark.parametrize("provider_id", ROWS)
async def test_stream(provider, urls, provider_id):
    """A stream tells the same usage in the provider's place for it, asked or not."""
    _, _, usage, _ = ROWS[provider_id]
    got = await asyncio.to_thread(ask, urls, provider_id, stream=True)
    telling = [chunk for chunk in got if chunk.usage]
    if provider_id == "groq":
        assert telling == []  # it was not asked; its own field has it
        used = got[-1].x_groq["usage"]
        assert (used["prompt_tokens"], used["completion_tokens"]) == (usage.input, usage.output)
        assert used["prompt_tokens_details"]["cached_tokens"] == usage.cache_read
    else:
        assert told(provider_id, telling[-1].usage) == usage
        assert telling[-1] is got[-1]
        assert len(telling) == (len(got) if provider_id == "perplexity" else 1)
    assert provider.bill.lines[0].usage == usage
    words = "".join(choice.delta.content or "" for chunk in got for choice in chunk.choices)
    assert len(words) == (usage.output - usage.reasoning) * 4


async def test_perplexity_tells_running_totals(provider, urls):
    """Every chunk repeats the totals until then: their sum is no usage of anything."""
    got = await asyncio.to_thread(ask, urls, "perplexity", stream=True)
    made = [chunk.usage.completion_tokens for chunk in got]
    assert made == sorted(made)
    assert made[-1] == 50 < sum(made)


async def test_deepseek_splits_its_input_in_two(urls):
    """Hits and misses add up to the prompt."""
    used = (await asyncio.to_thread(ask, urls, "deepseek")).usage
    assert (used.prompt_cache_hit_tokens, used.prompt_cache_miss_tokens) == (300, 700)


async def test_a_model_of_another_provider_is_not_found(provider, urls):
    """Who is asked by host has only its own models."""
    with openai.OpenAI(base_url=urls.at("api.groq.com/openai/v1"), api_key="fake", max_retries=0) as sdk:
        with pytest.raises(openai.NotFoundError):
            await asyncio.to_thread(sdk.chat.completions.create, model="gpt-4o", messages=[{"role": "user"}])
        listed = {model.id for model in await asyncio.to_thread(lambda: list(sdk.models.list()))}
    assert listed == {"llama-3.1-8b-instant", "openai/gpt-oss-20b"}
    assert provider.bill.lines == []
