"""OpenAI's Chat Completions and everything that speaks it.

Facts are from openai-python 3.54 (types/chat/completion_create_params.py, chat_completion_chunk.py,
completion_usage.py): cached, written and reasoning tokens are inside their totals; a stream tells its usage in one chunk
with empty `choices`, and only where `stream_options.include_usage` asks for it; that chunk need not be the last one.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import DEFAULT_TIER, AnswerReader, Event, Found, inner, open_reader, strings, tokens
from wfb_core.dialects.request import Document, flag, model_of, named, parse, part_of, whole
from wfb_core.dialects.sse import fields
from wfb_core.dialects.tally import Part, Tally
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
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

BOUNDED_TOOLS = frozenset({"function", "custom"})
CAP_FIELDS = ("max_completion_tokens", "max_tokens")
STANDARD_TIERS = frozenset({None, "auto", "default"})


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "openai-chat"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method, path
        document = parse(headers, body)
        model = model_of(document)
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
        if document.get("web_search_options") is not None or "-search-" in model:
            tally.unbind("web_search")
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
            wants_usage_chunk=not stream or flag(options, "include_usage"),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """Asks for the usage chunk where the caller of a stream did not; True where the document changed."""
        if facts.wants_usage_chunk:
            return False
        document["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
        return True

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers the cap on output tokens of each choice to at most `cap`, in the field that the caller uses."""
        del facts
        used = [name for name in CAP_FIELDS if document.get(name) is not None]
        for name in used or CAP_FIELDS[:1]:
            asked = document.get(name)
            document[name] = cap if asked is None else min(asked, cap)
        return True

    def with_model(self, document: Document, model: str) -> None:
        """Asks for another model."""
        document["model"] = model

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        return open_reader(ChatMeter(facts), facts.stream, strip_usage_chunk, headers or {})

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
    if isinstance(audio, dict) and isinstance(audio.get("data"), str):
        tally.add_media("audio", audio["data"])
        return {**part, "input_audio": None}
    return part


def _file(tally: Tally, part: Part) -> Part:
    file = part.get("file")
    return {**part, "file": read_file(tally, file)} if isinstance(file, dict) else part


PARTS = {"image_url": _image_url, "input_audio": read_input_audio, "file": _file}
"""Content parts that are not text."""


def chat_usage(counts: Mapping[str, Any]) -> tuple[Usage, dict[str, int]]:
    """(totals, extras) of a `usage` object; raises ValueError where its numbers are none."""
    read = inner(counts, "prompt_tokens_details")
    written = inner(counts, "completion_tokens_details")
    usage = Usage(
        input_tokens=tokens(counts, "prompt_tokens", required=True),
        cache_read_tokens=tokens(read, "cached_tokens"),
        cache_write_tokens=tokens(read, "cache_write_tokens"),
        output_tokens=tokens(counts, "completion_tokens"),
        reasoning_tokens=tokens(written, "reasoning_tokens"),
    )
    extras = {
        "audio_input_tokens": tokens(read, "audio_tokens"),
        "audio_output_tokens": tokens(written, "audio_tokens"),
    }
    return usage, {name: count for name, count in extras.items() if count}


_TEXT = re.compile(
    rb'"(?:content|arguments|refusal|reasoning_content|reasoning|transcript|name)"\s*:\s*"((?:[^"\\]++|\\.)*+)'
)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+')
_PLAIN = b'"delta":{"content":"'
"""How a chunk of text begins at every server that was seen: found by one look instead of a search."""


class ChatMeter:
    """Reads chunks, most of them without parsing: a chunk of text is only measured."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._opened = False
        self._created = 0
        self._closed: set[int] = set()

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; True for the usage chunk, which alone has no choices and a usage."""
        find = raw.find  # `in` takes three times as long
        if (
            not self._opened
            or find(b'"error"') >= 0
            or find(b"[DONE]") >= 0
            or raw.count(b'"usage"') != raw.count(b'"usage":null')
            or find(b'"finish_reason":"') >= 0
            or find(b"data:", 5) >= 0  # data over several lines, or a text about it
        ):
            return self._parse(raw)
        if find(b"data") < 0:
            return False
        self.found.frames += 1
        plain = find(_PLAIN)
        if plain >= 0 and find(b'"delta"', plain + 7) < 0:
            start = plain + len(_PLAIN)
            self.found.output_bytes += _STRING.match(raw, start).end() - start  # type: ignore[union-attr]  # matches empty
        else:
            delta = max(0, find(b'"delta"'))
            self.found.output_bytes += sum(len(text[1]) for text in _TEXT.finditer(raw, delta))
        return False

    def _parse(self, raw: bytes) -> bool:
        found = self.found
        if b"[DONE]" in raw and fields(raw)[1].strip() == b"[DONE]":
            found.frames += 1
            found.finished = True
            return False
        _, chunk = found.event(raw)
        if chunk is None:
            return False
        found.frames += 1
        self._opened = True
        self._about(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                found.output_bytes += _json_bytes(choice.get("delta"))
                if choice.get("finish_reason") is not None and isinstance(choice.get("index"), int):
                    self._closed.add(choice["index"])
        return chunk.get("usage") is not None and not choices

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        self._about(document)
        choices = document.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self.found.output_bytes += _json_bytes(choice.get("message"))

    def _about(self, answer: Event) -> None:
        found = self.found
        if answer.get("error") is not None:
            found.failed = True
        if isinstance(answer.get("model"), str):
            found.served_model = answer["model"]
        if isinstance(answer.get("id"), str):
            found.response_id = answer["id"]
        if isinstance(answer.get("created"), int):
            self._created = answer["created"]
        found.tier = served_tier(answer.get("service_tier")) or found.tier
        if (counts := answer.get("usage")) is not None:
            try:
                usage, found.extras = chat_usage(counts if isinstance(counts, dict) else {})
                found.count_usage(usage)
            except ValueError as e:
                found.malformed(e)

    def ending(self) -> bytes:
        """A closing chunk for every open choice, and the end mark."""
        if self.found.finished:
            return b""
        chunks = b"".join(
            _data(
                {
                    "id": self.found.response_id or "chatcmpl-wfb",
                    "object": "chat.completion.chunk",
                    "created": self._created,
                    "model": self.found.served_model or self._facts.model,
                    "choices": [{"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"}],
                }
            )
            for index in range(self._facts.choices)
            if index not in self._closed
        )
        return chunks + b"data: [DONE]\n\n"


def _data(chunk: Event) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _json_bytes(value: Any) -> int:
    return sum(text_bytes(text) for text in strings(value))
