"""OpenAI's Chat Completions and everything that speaks it.

Facts are from openai-python 3.54 (types/chat/completion_create_params.py, chat_completion_chunk.py,
completion_usage.py): cached, written and reasoning tokens are inside their totals; a stream tells its usage in one chunk
with empty `choices`, and only where `stream_options.include_usage` asks for it; that chunk need not be the last one.
Others tell it in the last chunk of text, in every chunk as a running total, or in fields of their own: where they differ
is data here, what their counts mean is `chat_usage`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from typing import Any
from urllib.parse import quote, unquote

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import (
    DEFAULT_TIER,
    AnswerReader,
    Event,
    Found,
    counted,
    inner,
    open_reader,
    strings,
    tokens,
)
from wfb_core.dialects.framing import SSE
from wfb_core.dialects.request import Document, flag, header, model_of, named, parse, part_of, whole
from wfb_core.dialects.sse import fields
from wfb_core.dialects.tally import Part, PartReader, Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.money import NANOS_PER_USD
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "messages",
        "tools",
        "functions",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "service_tier",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
        "seed",
        "temperature",
        "top_p",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "modalities",
        "audio",
        "moderation",
        "web_search_options",
        "top_k",
        "top_a",
        "min_p",
        "random_seed",
        "repetition_penalty",
        "safe_prompt",
        "keep_alive",
        "provider",
        "models",
        "route",
        "plugins",
        "search_parameters",
        "enable_thinking",
        "thinking",
        "reasoning",
        "reasoning_format",
        "include_reasoning",
        "usage",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

BOUNDED_TOOLS = frozenset({"function", "custom"})
CAP_FIELDS = ("max_completion_tokens", "max_tokens")
STANDARD_TIERS = frozenset({None, "auto", "default", "standard", "on_demand"})
"""Words for the tier that everybody gets: OpenAI's, Mistral's, Groq's."""

NEWER_CAP = frozenset({"openai", "azure", "groq", "cerebras", "x-ai", "openrouter", "aws"})
"""Providers that know `max_completion_tokens`; the others know `max_tokens` alone."""

ASKED_FOR_USAGE = frozenset(
    {
        "openai",
        "azure",
        "aws",
        "alibaba",
        "anthropic",
        "baseten",
        "cerebras",
        "compatible",
        "crusoe",
        "databricks",
        "deepinfra",
        "deepseek",
        "fireworks",
        "github",
        "github-copilot",
        "google",
        "huggingface",
        "hyperbolic",
        "minimax",
        "moonshotai",
        "nebius",
        "novita",
        "nvidia",
        "ollama",
        "ovhcloud",
        "sambanova",
        "snowflake",
        "together",
        "vercel",
        "vllm",
        "writer",
        "x-ai",
        "zai",
        "zhipuai",
    }
)
"""Providers known to take `stream_options.include_usage`, HuggingFace's own ones by its name.

The others tell usage unasked (Groq in `x_groq`, Mistral, OpenRouter, Perplexity), or refuse the field: Mistral answers
422 to it, Cohere's compatibility API rejects it.
"""

_IN_PATH = (
    re.compile(r"(/deployments/)([^/]+)"),
    re.compile(r"(/publishers/mistralai/models/)([^/:]+)"),
    re.compile(r"(/serving-endpoints/)([^/]+)(?=/invocations)"),
    re.compile(r"(?<=/models)(/)([^/]+(?:/[^/]+)?)(?=/v1/)"),
)
"""Where paths name a model: Azure's deployments, Mistral's models on Vertex, Databricks' endpoints, HuggingFace's
serverless models."""


def asks_for_usage(provider: str) -> bool:
    """Whether a stream of this provider's is asked for its usage chunk."""
    return provider in ASKED_FOR_USAGE or provider.startswith("huggingface_")


def deployment_in(path: str) -> str | None:
    """The deployment that an Azure path names: ``…/openai/deployments/NAME/…``; None in others."""
    found = _IN_PATH[0].search(path.partition("?")[0])
    return unquote(found[2]) if found else None


def is_deployment(path: str, provider: str) -> bool:
    """Whether the model asked for is a deployment's name: in Azure's paths, and in the bodies of its newer ones."""
    return provider == "azure" or deployment_in(path) is not None


def path_model(path: str) -> str | None:
    """The model that a path names, decoded; None where the body does."""
    plain = path.partition("?")[0]
    found = next(filter(None, (pattern.search(plain) for pattern in _IN_PATH)), None)
    return unquote(found[2]) if found else None


def path_with_model(path: str, model: str) -> str:
    """The path with another model, where it names one."""
    plain, mark, query = path.partition("?")
    for pattern in _IN_PATH:
        kept = "/" if pattern is _IN_PATH[-1] else ""
        plain = pattern.sub(lambda found, kept=kept: found[1] + quote(model, safe=kept), plain, count=1)  # type: ignore[misc]
    return plain + mark + query


_PLACEHOLDERS = ("tgi",)
"""What stands for the model in the body where the path names it: huggingface_hub, text-generation-inference."""


def asked_model(document: Document, path: str) -> str:
    """The model asked for, by the body or else by the path, or the agent that stands for one at Mistral.

    Raises NotUnderstood where none is named. Agents: mistralai 3.7, models/agentscompletionrequest.py.
    """
    elsewhere = path_model(path) or document.get("agent_id")
    asked = document.get("model")
    if not elsewhere or (asked and asked not in _PLACEHOLDERS):
        return model_of(document)
    return model_of({"model": elsewhere})


_ROUTES = frozenset(
    {
        "cerebras",
        "fireworks-ai",
        "groq",
        "hyperbolic",
        "nebius",
        "novita",
        "nscale",
        "ovhcloud",
        "publicai",
        "sambanova",
        "together",
    }
)
"""Providers behind HuggingFace's router: ids of genai-prices after ``huggingface_``."""


def biller_of(provider: str, model: str) -> str:
    """Who bills: behind HuggingFace's router it is who the model's suffix names (``org/model:together``)."""
    if provider != "huggingface":
        return provider
    route = model.rpartition(":")[2]
    return f"huggingface_{route}" if route in _ROUTES else provider


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "openai-chat"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        document = parse(headers, body)
        model = asked_model(document, path)
        provider = biller_of(provider, model)
        tally = Tally()
        for message in part_of(document, "messages", list):
            tally.messages += 1
            tally.content(message, PARTS)
            if isinstance(message, dict) and message.get("audio") is not None:
                tally.hide("audio_id")
        read_tools(tally, part_of(document, "tools", list), BOUNDED_TOOLS)
        functions = part_of(document, "functions", list)
        tally.tools += len(functions)
        tally.text(functions)
        tally.rest(document, SILENT)
        read_extras(tally, document, provider, model)
        if document.get("prediction") is not None:
            tally.unbind("prediction")  # rejected tokens are billed beside the answer's own
        modalities = part_of(document, "modalities", list)
        if "audio" in modalities or document.get("audio") is not None:
            tally.unbind("audio_output")  # audio tokens have a rate of their own
        read_cache_options(tally, document)
        stream = flag(document, "stream")
        options = part_of(document, "stream_options", dict)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="chat.completions",
            model=model,
            stream=stream,
            cap=_cap(document),
            choices=whole(document, "n", 1) or 1,
            tier=tier_of(document),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            cache_write=tally.cache_write,
            cache_write_1h=tally.cache_write_1h,
            wants_usage_chunk=not stream or flag(options, "include_usage") or not asks_for_usage(provider),
            reasoning=_thinks(document),
            deployment=is_deployment(path, provider) or document.get("agent_id") is not None,
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """Asks for the usage chunk where the caller of a stream did not; True where the document changed."""
        if facts.wants_usage_chunk:
            return False
        document["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
        return True

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers the cap on output tokens of each choice to at most `cap`, in the field that the caller uses, else the provider's.

        False, unchanged, where a signature covers the body.
        """
        if facts.signed:
            return False
        used = [name for name in CAP_FIELDS if document.get(name) is not None]
        for name in used or (CAP_FIELDS[0 if facts.provider in NEWER_CAP else 1],):
            asked = document.get(name)
            document[name] = cap if asked is None else min(asked, cap)
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, in the path where it names one, and in the body where that does or nothing else."""
        changed = path_with_model(path, model)
        if changed == path or document.get("model") is not None:
            document["model"] = model
        return changed

    def model_in(self, path: str) -> str | None:
        """An Azure deployment's name, or a model that the path names; None where the body names it."""
        return path_model(path)

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        return open_reader(ChatMeter(facts, headers), facts.stream, strip_usage_chunk, headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


ERROR_TYPES = {402: "insufficient_quota", 403: "permission_denied", 404: "not_found_error"}


def openai_refusal(
    reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None
) -> refusals.Refusal:
    """A refusal in the shape that all of OpenAI's APIs use; the budget stands in `error.budget`."""
    code = refusals.code(reason, status, retry_after)
    if code == "rate_limit_exceeded":
        kind = code
    elif code == "budget_exceeded":
        kind = "insufficient_quota"
    else:
        kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "budget": refusals.budget_object(reason, details),
    }
    return refusals.answer(status, reason, details, retry_after, {"error": error})


def _cap(document: Document) -> int | None:
    caps = [whole(document, name) for name in CAP_FIELDS]
    return max((cap for cap in caps if cap is not None), default=None)


def tier_of(document: Document) -> str | None:
    """The service tier asked for; None for the standard one."""
    tier = named(document, "service_tier")
    return None if tier in STANDARD_TIERS else tier


def served_tier(value: Any) -> str | None:
    """The tier that an answer names; None where it names none."""
    if not isinstance(value, str):
        return None
    return DEFAULT_TIER if value in STANDARD_TIERS else value


_SEARCHING = ("perplexity",)
"""Providers whose every answer searches the web."""


def read_extras(tally: Tally, document: Document, provider: str, model: str) -> None:
    """What may bill beyond any bound, or other models: searches, plugins, fallbacks, agents."""
    if (
        document.get("web_search_options") is not None
        or document.get("search_parameters") is not None  # xAI's live search
        or "-search-" in model
        or model.endswith(":online")  # OpenRouter's
        or provider in _SEARCHING
        or (provider == "groq" and "compound" in model)
    ):
        tally.unbind("web_search")
    if document.get("plugins"):
        tally.unbind("plugins")
    if document.get("models"):
        tally.unbind("fallbacks")
    if document.get("agent_id"):
        tally.hide("agent_id")  # its instructions
    google = document.get("google")
    extra = document.get("extra_body")
    if isinstance(extra, dict):
        google = google or extra.get("google")
    if isinstance(google, dict) and google.get("cached_content"):
        tally.hide("cached_content")


def _thinks(document: Document) -> bool | None:
    """Whether the request turns reasoning on or off, in any provider's words; None where it does not say."""
    effort = document.get("reasoning_effort")
    reasoning, thinking = document.get("reasoning"), document.get("thinking")
    if isinstance(reasoning, dict):
        effort = reasoning.get("effort") or effort
        if isinstance(reasoning.get("enabled"), bool):
            return bool(reasoning["enabled"])
    if isinstance(thinking, dict) and isinstance(thinking.get("type"), str):
        return bool(thinking["type"] != "disabled")
    if isinstance(document.get("enable_thinking"), bool):
        return bool(document["enable_thinking"])
    return effort != "none" if isinstance(effort, str) else None


def read_cache_options(tally: Tally, document: Document) -> None:
    """What a request says of its prompt's cache, beside the marks inside its content."""
    if options := part_of(document, "prompt_cache_options", dict):
        tally.cached(options)
    if retention := named(document, "prompt_cache_retention"):
        tally.cached({"ttl": retention})


def read_tools(tally: Tally, tools: list[Any], bounded: frozenset[str]) -> None:
    """Counts tool definitions; those that are not the caller's own may bill beyond any bound."""
    for tool in tools:
        tally.tools += 1
        tally.text(tool)
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "namespace":
            read_tools(tally, part_of(tool, "tools", list), bounded)
        elif (
            kind == "shell" and isinstance(tool.get("environment"), dict) and tool["environment"].get("type") == "local"
        ):
            continue
        elif kind not in bounded:
            tally.unbind(_hosted_name(kind))


HOSTED_TOOLS = (
    "web_search",
    "file_search",
    "code_interpreter",
    "computer",
    "image_generation",
    "mcp",
    "shell",
    "tool_search",
    "programmatic_tool_calling",
)


def _hosted_name(kind: Any) -> str:
    """A known tool's name without its version; a type is the caller's text, so an unknown one is not repeated."""
    if isinstance(kind, str):
        for name in HOSTED_TOOLS:
            if kind.startswith(name):
                return name
    return "unknown_tool"


def read_file(tally: Tally, file: Part) -> Part:
    """A file inside a content part: its data, an id or an address."""
    if isinstance(data := file.get("file_data"), str) and data:
        tally.add_media("document", data)
    if file.get("file_id"):
        tally.hide("file_id")
    if file.get("file_url"):
        tally.hide("document_url")
    return {k: v for k, v in file.items() if k not in {"file_data", "file_url"}}


def read_image(tally: Tally, url: Any) -> bool:
    """An image's data URL or address; False where it is neither."""
    if not isinstance(url, str):
        return False
    if url.startswith("data:"):
        tally.add_media("image", url)
    else:
        tally.add_media("image", "")
        tally.hide("image_url")
    return True


def _image_url(tally: Tally, part: Part) -> Part:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return {**part, "image_url": None} if read_image(tally, url) else part


def read_input_audio(tally: Tally, part: Part) -> Part:
    """Audio in base64."""
    audio = part.get("input_audio")
    if isinstance(audio, str):  # Mistral's: base64 or an address
        tally.add_media("audio", "" if audio.startswith("http") else audio)
        if audio.startswith("http"):
            tally.hide("audio_url")
        return {**part, "input_audio": None}
    if isinstance(audio, dict) and isinstance(audio.get("data"), str):
        tally.add_media("audio", audio["data"])
        return {**part, "input_audio": None}
    return part


def _file(tally: Tally, part: Part) -> Part:
    file = part.get("file")
    return {**part, "file": read_file(tally, file)} if isinstance(file, dict) else part


def _by_address(kind: str, hidden: str) -> PartReader:
    """A reader of parts that hold an address or a data URL, bare or as ``{"url": …}``, under their own type's name."""

    def read(tally: Tally, part: Part) -> Part:
        name = part["type"]
        value = part.get(name)
        url = value.get("url") if isinstance(value, dict) else value
        if not isinstance(url, str):
            return part
        if url.startswith("data:"):
            tally.add_media(kind, url)
        else:
            tally.add_media(kind, "")
            tally.hide(hidden)
        return {**part, name: None}

    return read


PARTS: Mapping[str, PartReader] = {
    "image_url": _image_url,
    "input_audio": read_input_audio,
    "file": _file,
    "video_url": _by_address("video", "video_url"),  # Qwen, GLM, Kimi, vLLM
    "audio_url": _by_address("audio", "audio_url"),  # vLLM
    "document_url": _by_address("document", "document_url"),  # Mistral
    "file_url": _by_address("document", "document_url"),  # Perplexity, Z.AI
    "pdf_url": _by_address("document", "document_url"),
}
"""Content parts that are not text."""


REASONING_APART = frozenset({"x-ai", "perplexity", "google"})
"""Who counts reasoning beside the completion: xAI's and Perplexity's chat completions, and Gemini behind OpenAI's paths."""

_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens")
"""Names of input from a cache: in the details or beside the totals, at DeepSeek, Moonshot, Together, Mistral, Databricks."""
_WRITTEN = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
"""Names of input written to a cache: OpenAI's and OpenRouter's, Alibaba's, LiteLLM's."""
_PROMPT_DETAILS = ("prompt_tokens_details", "prompt_token_details", "input_tokens_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details")


def chat_usage(counts: Mapping[str, Any], provider: str = "", model: str = "") -> tuple[Usage, dict[str, int]]:
    """(totals, extras) of a `usage` object; raises ValueError where its numbers are none.

    `total_tokens` is the checksum that says whether a part stands inside its total or beside it. Where it does not tell,
    reasoning is inside, but for REASONING_APART; whatever exceeds its total is cut to it.
    """
    prompt, completion = _totals(counts)
    read, written = _details(counts, _PROMPT_DETAILS), _details(counts, _COMPLETION_DETAILS)
    cached, creation = _first((read, counts), _CACHED), _first((read, counts), _WRITTEN)
    reasoning = _first((written, counts), ("reasoning_tokens",))
    heard = tokens(read, "audio_tokens")
    beside_input, beside_output = _beside(counts, prompt, completion, cached, creation, reasoning, provider, model)
    if counts.get("prompt_audio_seconds") and heard > prompt:
        heard = 0  # Mistral bills sound by its seconds: the tokens of it are in no total but the last
    usage = counted(
        _units(counts),
        input_tokens=prompt + beside_input,
        cache_read_tokens=cached,
        cache_write_tokens=creation,
        cache_write_1h_tokens=_long_lived(read),
        output_tokens=completion + beside_output,
        reasoning_tokens=reasoning or beside_output,
        audio_input_tokens=heard,
        image_input_tokens=tokens(read, "image_tokens") + tokens(read, "video_tokens"),
        audio_output_tokens=tokens(written, "audio_tokens"),
        image_output_tokens=tokens(written, "image_tokens"),
    )
    extras = {
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
    }
    return usage, {name: count for name, count in extras.items() if count}


def _totals(counts: Mapping[str, Any]) -> tuple[int, int]:
    """Input and output as the provider calls them; one that is missing is what the sum of both leaves for it."""
    prompt, completion = (
        _count(counts, "prompt_tokens", "input_tokens"),
        _count(counts, "completion_tokens", "output_tokens"),
    )
    if prompt is not None and completion is not None:
        return prompt, completion
    total = _count(counts, "total_tokens")
    if prompt is not None:
        return prompt, max(0, (total or 0) - prompt)
    if completion is None or total is None or total < completion:
        raise ValueError("prompt_tokens is missing")
    return total - completion, completion


def _details(counts: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    return next(filter(None, (inner(counts, name) for name in names)), {})


def _first(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> int:
    """The first count under any of the names that is not zero."""
    for place in places:
        for name in names:
            if place.get(name) and (count := tokens(place, name)):
                return count
    return 0


def _long_lived(read: Mapping[str, Any]) -> int:
    """Input written to a cache for an hour or more: OpenAI's and Alibaba's details of what was written."""
    return tokens(inner(read, "cache_write_tokens_details"), "ttl_12h_tokens") or tokens(
        inner(read, "cache_creation"), "ephemeral_1h_input_tokens"
    )


def _count(counts: Mapping[str, Any], *names: str) -> int | None:
    """The first of these counts that is there; None where none is."""
    return next((tokens(counts, name) for name in names if counts.get(name) is not None), None)


def _beside(
    counts: Mapping[str, Any],
    prompt: int,
    completion: int,
    cached: int,
    creation: int,
    reasoning: int,
    provider: str,
    model: str,
) -> tuple[int, int]:
    """(input, output) that stand beside the prompt and the completion."""
    total = _count(counts, "total_tokens")
    if provider == "perplexity":
        return 0, reasoning  # its total leaves out the reasoning and the citations of its deep research
    if total is None:
        if "prompt_tokens" not in counts and "cache_read_input_tokens" in counts:
            return cached + creation, 0  # Anthropic's own counts
        return 0, reasoning if provider in REASONING_APART else 0
    beyond = total - prompt - completion
    if beyond <= 0:
        return 0, 0
    parts = [(reasoning, 1), (cached, 0), (creation, 0)]
    for size in range(1, len(parts) + 1):
        for chosen in combinations(parts, size):
            if sum(count for count, _ in chosen) == beyond:
                output = sum(count for count, is_output in chosen if is_output)
                return beyond - output, output
    if provider in REASONING_APART or "gemini" in model.lower():
        return 0, beyond  # Gemini's thoughts, which only the sum of all counts
    return 0, 0


def _units(counts: Mapping[str, Any]) -> dict[str, int]:
    """What is billed beside tokens: Mistral's audio in seconds, Perplexity's citations and searches, OpenRouter's."""
    seconds = counts.get("prompt_audio_seconds")
    heard = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < _MOST_SECONDS
    searches = tokens(counts, "num_search_queries")
    for name in ("server_tool_use", "server_tool_use_details"):
        searches = searches or tokens(inner(counts, name), "web_search_requests")
    return {
        "audio_input_ms": round(1000 * seconds) if heard and isinstance(seconds, int | float) else 0,
        "citation_tokens": tokens(counts, "citation_tokens"),
        "web_searches": searches,
    }


_MOST_SECONDS = 1e9


_TICKS = 10
"""xAI states costs in ticks of which ten make a nano-USD: litellm, llms/xai/common_utils.py."""


def reported_cost(counts: Mapping[str, Any], provider: str = "") -> int | None:
    """Nano-USD that the provider itself says the call cost; None where it does not say.

    OpenRouter: `cost`, and where the caller's own key paid the provider behind it, what that cost. Perplexity:
    `cost.total_cost`, which is nothing until the last chunk. xAI: `cost_in_usd_ticks`, which others who host its models
    repeat as zero.
    """
    if provider == "x-ai":
        ticks = counts.get("cost_in_usd_ticks")
        return -(-ticks // _TICKS) if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0 else None
    cost = counts.get("cost")
    if isinstance(cost, dict):
        return nanos_of(cost.get("total_cost")) or None
    found = nanos_of(cost)
    if found is not None and counts.get("is_byok") is True:
        details = counts.get("cost_details")
        upstream = nanos_of(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
        return found + (upstream or 0)
    return found


def nanos_of(usd: Any) -> int | None:
    """A number of dollars in an answer as nano-USD; None where it is none, or no cost."""
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < _MOST_USD:
        return None
    return int((Decimal(repr(usd)) * NANOS_PER_USD).to_integral_value(rounding="ROUND_HALF_UP"))


_MOST_USD = 1e9


_TEXT = re.compile(
    rb'"(?:content|arguments|refusal|reasoning_content|reasoning|transcript|name|text)"\s*:\s*"((?:[^"\\]++|\\.)*+)'
)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+')
_PLAIN = b'"delta":{"content":"'
"""How a chunk of text begins at every server that was seen: found by one look instead of a search."""
_LOOKED_AT = 8
"""Chunks that are parsed to learn the served model: Azure's first one names none."""


class ChatMeter:
    """Reads chunks, most of them without parsing: a chunk of text is only measured.

    Of the chunks that each carry a running total only the latest is kept, and read when something asks for it.
    """

    def __init__(self, facts: CallFacts, headers: Mapping[str, str] | None = None) -> None:
        self._found = Found()
        self._late: bytes | None = None
        self._defers = True
        self._facts = facts
        self._headers = headers or {}
        self._to_look_at = _LOOKED_AT
        self._created = 0
        self._closed: set[int] = set()
        self._ended = False

    @property
    def found(self) -> Found:
        """What was learned so far."""
        if self._late is not None:
            self._read_late()
        return self._found

    @found.setter
    def found(self, found: Found) -> None:
        """Takes what another reader of the same answer has learned."""
        self._found, self._defers = found, False  # whoever shares it looks at it without asking

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; True for the usage chunk, which alone has no choices and a usage."""
        find = raw.find  # `in` takes three times as long
        if (
            self._to_look_at
            or (find(b'"choices":') < 0 and raw.endswith((b"\n", b"\r")))  # whole, and no text
            or find(b"error") >= 0
            or find(b"[DONE]") >= 0
            or find(b'"finish_reason":"') >= 0
            or find(b'"finish_reason": "') >= 0
            or find(b"data:", 5) >= 0  # data over several lines, or a text about it
        ):
            return self._parse(raw)
        if find(b'"usage"') >= 0 and _is_told(raw):
            if not self._defers or find(b'"delta":{') < 0:
                return self._parse(raw)
            self._late = raw
        if find(b"data") < 0:
            return False
        found = self._found
        found.frames += 1
        plain = find(_PLAIN)
        if plain >= 0 and find(b'"delta"', plain + 7) < 0:
            start = plain + len(_PLAIN)
            found.output_bytes += _STRING.match(raw, start).end() - start  # type: ignore[union-attr]  # matches empty
        else:
            delta = max(0, find(b'"delta"'))
            found.output_bytes += sum(len(text[1]) for text in _TEXT.finditer(raw, delta))
        return False

    def _parse(self, raw: bytes) -> bool:
        found = self.found
        if b"[DONE]" in raw and fields(raw)[1].strip() == b"[DONE]":
            found.frames += 1
            found.finished = self._ended = True
            return False
        kind, chunk = found.event(raw)
        if chunk is None:
            return False
        found.frames += 1
        if kind == "error":
            found.failed = True
        self._about(chunk)
        self._to_look_at = 0 if found.served_model else max(0, self._to_look_at - 1)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                found.output_bytes += sum(_json_bytes(choice.get(name)) for name in ("delta", "message", "text"))
                if choice.get("finish_reason") is not None:
                    index = choice.get("index")
                    self._closed.add(index if isinstance(index, int) else 0)
        if len(self._closed) >= self._facts.choices and found.usage is not None:
            found.finished = True  # some never send the end mark
        return not choices and bool(chunk.get("usage"))

    def _read_late(self) -> None:
        """Reads the latest running total, whose text was measured as it passed."""
        raw, self._late = self._late, None
        _, chunk = self._found.event(raw or b"")
        if chunk is not None:
            self._about(chunk)

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        self._about(document)
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self.found.output_bytes += _json_bytes(choice.get("message")) + _json_bytes(choice.get("text"))

    def _about(self, answer: Event) -> None:
        found = self.found
        if _failed(answer):
            found.failed = True
        if isinstance(answer.get("model"), str) and answer["model"]:
            found.served_model = answer["model"]
        if found.response_id is None and isinstance(answer.get("id"), str) and answer["id"]:
            found.response_id = answer["id"]  # later ones may be placeholders
        if isinstance(answer.get("created"), int):
            self._created = answer["created"]
        found.tier = served_tier(answer.get("service_tier")) or found.tier
        counts = _counts(answer)
        if counts is None:
            return
        try:
            self._count(answer, counts)
        except ValueError as e:
            found.malformed(e)

    def _count(self, answer: Event, counts: Any) -> None:
        found, facts = self.found, self._facts
        if not isinstance(counts, dict):
            raise ValueError("usage is no object")
        usage, extras = chat_usage(counts, facts.provider, found.served_model or facts.model)
        if found.usage is not None and not usage.input_tokens and not usage.output_tokens:
            return  # a placeholder: what was counted does not vanish
        if found.tier is None:
            found.tier = served_tier(counts.get("service_tier"))
        if facts.provider == "fireworks" and not usage.cache_read_tokens:
            usage = _cached_by_header(usage, self._headers)
        found.extras = extras
        found.count_usage(usage, _models_behind(answer, usage))
        found.reported_nanos = reported_cost(counts, facts.provider)

    def ending(self) -> bytes:
        """A closing chunk for every open choice, and the end mark."""
        if self._ended or self.found.framing != SSE:
            return b""
        chunks = b"".join(_data(self._last(index)) for index in range(self._facts.choices) if index not in self._closed)
        return chunks + b"data: [DONE]\n\n"

    def _last(self, index: int) -> Event:
        """A choice's closing chunk."""
        return {
            "id": self.found.response_id or "chatcmpl-wfb",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.found.served_model or self._facts.model,
            "choices": [{"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"}],
        }


def _is_told(raw: bytes) -> bool:
    """Whether one of a frame's usages is not null."""
    return raw.count(b'"usage"') != raw.count(b'"usage":null') + raw.count(b'"usage": null')


def _failed(answer: Event) -> bool:
    """Whether an answer of status 200 is an error, as a whole or in a choice.

    Mistral and vLLM mark it by its `object`, MiniMax by a status of its own (platform.minimax.io/docs), OpenRouter in
    the choice (openrouter.ai/docs/api-reference/errors).
    """
    if answer.get("error") or answer.get("object") == "error":
        return True
    status = answer.get("base_resp")
    if isinstance(status, dict) and status.get("status_code"):
        return True
    choices = answer.get("choices")
    return any(
        isinstance(choice, dict) and (bool(choice.get("error")) or choice.get("finish_reason") == "error")
        for choice in (choices if isinstance(choices, list) else ())
    )


def _counts(answer: Event) -> Any:
    """The usage of a chunk or a body; None where it has none.

    Groq puts it into `x_groq`, Moonshot into the last choice, llama.cpp its own counts into `timings`:
    groq 1.7 XGroq, platform.moonshot.ai/docs/api/chat, ggml-org/llama.cpp tools/server/README.md.
    """
    counts = answer.get("usage")
    if counts:
        return None if _is_blank(counts) else counts
    groq = answer.get("x_groq")
    if isinstance(groq, dict) and groq.get("usage"):
        return groq["usage"]
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("usage"), dict) and choice["usage"]:
            return choice["usage"]
    timings = answer.get("timings")
    if (
        isinstance(timings, dict)
        and isinstance(timings.get("prompt_n"), int)
        and isinstance(timings.get("predicted_n"), int)
    ):
        cached = tokens(timings, "cache_n") if isinstance(timings.get("cache_n"), int) else 0
        return {
            "prompt_tokens": max(0, timings["prompt_n"]) + cached,
            "completion_tokens": timings["predicted_n"],
            "cached_tokens": cached,
        }
    return None if counts is None or isinstance(counts, dict) else counts


_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")


def _is_blank(counts: Any) -> bool:
    """Whether a usage object counts no tokens."""
    return isinstance(counts, dict) and not any(counts.get(name) is not None for name in _TOTALS)


def _models_behind(answer: Event, usage: Usage) -> list[tuple[str | None, Usage]]:
    """The usage of the models that Groq's compound ones called, where they make up the whole; each bills by its own."""
    behind = answer.get("usage_breakdown")
    groq = answer.get("x_groq")
    if behind is None and isinstance(groq, dict):
        behind = groq.get("usage_breakdown")
    models = behind.get("models") if isinstance(behind, dict) else None
    parts: list[tuple[str | None, Usage]] = []
    for entry in models if isinstance(models, list) else ():
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("model"), str)
            or not isinstance(entry.get("usage"), dict)
        ):
            return []
        parts.append((entry["model"], chat_usage(entry["usage"])[0]))
    told = tuple(sum(getattr(part, name) for _, part in parts) for name in _SUMS)
    return parts if told == tuple(getattr(usage, name) for name in _SUMS) else []


_SUMS = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")


def _cached_by_header(usage: Usage, headers: Mapping[str, str]) -> Usage:
    """The usage with Fireworks' header for cached input: docs.fireworks.ai/guides/prompt-caching."""
    text = header(headers, "fireworks-cached-prompt-tokens")
    if not text.isdecimal() or len(text) > 12:
        return usage
    return replace(usage, cache_read_tokens=min(int(text), usage.input_tokens))


def _data(chunk: Event) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _json_bytes(value: Any) -> int:
    return sum(text_bytes(text) for text in strings(value))
