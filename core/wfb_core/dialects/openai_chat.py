"""OpenAI's Chat Completions and everything that speaks it.

Facts are from openai-python 3.54 (types/chat/completion_create_params.py, chat_completion_chunk.py,
completion_usage.py): cached, written and reasoning tokens are inside their totals; a stream tells its usage in one chunk
with empty `choices`, and only where `stream_options.include_usage` asks for it; that chunk need not be the last one.
Others tell it in the last chunk of text, in every chunk as a running total, or in fields of their own: where they differ
is data here, what their counts mean is `chat_usage`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import (
    DEFAULT_TIER,
    AnswerReader,
    Event,
    Found,
    open_reader,
    strings,
    tokens,
)
from wfb_core.dialects.chat_counts import chat_usage
from wfb_core.dialects.chat_counts import reported_cost as reported_cost  # noqa: PLC0414 - other dialects take it here
from wfb_core.dialects.framing import SSE
from wfb_core.dialects.model_path import asked_model, biller_of, is_deployment, path_model, path_with_model
from wfb_core.dialects.model_path import deployment_in as deployment_in  # noqa: PLC0414 - other dialects take it here
from wfb_core.dialects.request import Document, flag, header, named, parse, part_of, whole
from wfb_core.dialects.sse import fields
from wfb_core.dialects.tally import Part, PartReader, Tally
from wfb_core.dialects.text_size import text_bytes
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


def asks_for_usage(provider: str) -> bool:
    """Whether a stream of this provider's is asked for its usage chunk."""
    return provider in ASKED_FOR_USAGE or provider.startswith("huggingface_")


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
        """Asks for the usage chunk where the caller of a stream did not, unless signed; True where the document changed."""
        if facts.wants_usage_chunk or facts.signed:
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
