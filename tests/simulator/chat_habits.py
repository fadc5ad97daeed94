"""How providers of OpenAI's chat shape differ from OpenAI in what they say of usage: one row each.

Groq: groq-python ``types/completion_usage.py``, ``types/chat/chat_completion_chunk.py``. Mistral: mistralai
``client/models/usageinfo.py``. DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion. xAI:
https://docs.x.ai/docs/api-reference. Perplexity: https://docs.perplexity.ai/api-reference/chat-completions-post.
OpenRouter: https://openrouter.ai/docs/use-cases/usage-accounting.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.answer import Answer

ASKED, OWN, LAST, EVERY = "asked", "own", "last", "every"
"""Where a stream tells usage: in a chunk of its own if asked, in one always, in the chunk that ends it, in every one."""

_READ, _WRITE, _HIDDEN = "cache_read", "cache_write", "reasoning"


def plain_usage(answer: Answer) -> dict[str, Any]:
    """The totals, and no word of their parts."""
    used = answer.usage
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
    }


def _openai(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    return {
        **plain_usage(answer),
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_write_tokens": used.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _detailed(answer: Answer) -> dict[str, Any]:
    """Details only where there is something to tell."""
    used, told = answer.usage, plain_usage(answer)
    if used.cache_read:
        told["prompt_tokens_details"] = {"cached_tokens": used.cache_read}
    if used.reasoning:
        told["completion_tokens_details"] = {"reasoning_tokens": used.reasoning}
    return told


def _mistral(answer: Answer) -> dict[str, Any]:
    cached = answer.usage.cache_read
    return {**plain_usage(answer), **({"prompt_tokens_details": {"cached_tokens": cached}} if cached else {})}


def _groq(answer: Answer) -> dict[str, Any]:
    return {"queue_time": 0.02, "prompt_time": 0.01, "completion_time": 0.1, "total_time": 0.11, **_detailed(answer)}


def _xai(answer: Answer) -> dict[str, Any]:
    """Reasoning stands beside the completion, inside the total; the cost is in ten-billionths of a dollar."""
    used = answer.usage
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output - used.reasoning,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {
            "text_tokens": used.input,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": used.cache_read,
        },
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
        "cost_in_usd_ticks": int(answer.usd.scaleb(10)),
    }


def _deepseek(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    return {
        **plain_usage(answer),
        "prompt_tokens_details": {"cached_tokens": used.cache_read},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
        "prompt_cache_hit_tokens": used.cache_read,
        "prompt_cache_miss_tokens": used.input - used.cache_read,
    }


def _perplexity(answer: Answer) -> dict[str, Any]:
    used, model = answer.usage, answer.ask.model
    ins, outs = (used.input * model.rates.input).scaleb(-6), (used.output * model.rates.output).scaleb(-6)
    cost = {
        "input_tokens_cost": float(ins),
        "output_tokens_cost": float(outs),
        "request_cost": float(model.per_call),
        "total_cost": float(answer.usd),
    }
    return {**plain_usage(answer), "search_context_size": "low", "cost": cost}


def _openrouter(answer: Answer) -> dict[str, Any]:
    used, usd = answer.usage, float(answer.usd)
    return {
        **plain_usage(answer),
        "cost": usd,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_write_tokens": used.cache_write,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cost_details": {"upstream_inference_cost": usd},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning, "image_tokens": 0},
    }


@dataclass(frozen=True, slots=True)
class Habit:
    """What is particular to one provider."""

    usage: Callable[[Answer], dict[str, Any]]
    where: str
    """One of ASKED, OWN, LAST, EVERY."""
    tells: frozenset[str]
    """The classes of tokens it has words for."""
    id_prefix: str = "chatcmpl-"


def _habit(usage: Callable[[Answer], dict[str, Any]], where: str, *tells: str, id_prefix: str = "chatcmpl-") -> Habit:
    return Habit(usage, where, frozenset(tells), id_prefix)


HABITS = {
    "openai": _habit(_openai, ASKED, _READ, _WRITE, _HIDDEN),
    "azure": _habit(_openai, ASKED, _READ, _WRITE, _HIDDEN),
    "groq": _habit(_groq, ASKED, _READ, _HIDDEN),
    "mistral": _habit(_mistral, LAST, _READ, id_prefix=""),
    "x-ai": _habit(_xai, OWN, _READ, _HIDDEN, id_prefix=""),
    "deepseek": _habit(_deepseek, LAST, _READ, _HIDDEN, id_prefix=""),
    "perplexity": _habit(_perplexity, EVERY, id_prefix=""),
    "openrouter": _habit(_openrouter, OWN, _READ, _WRITE, _HIDDEN, id_prefix="gen-"),
    "together": _habit(plain_usage, LAST, id_prefix=""),
    "fireworks": _habit(_detailed, LAST, _READ, id_prefix=""),
    "cerebras": _habit(_detailed, LAST, _READ),
    "ollama": _habit(plain_usage, ASKED),
}
