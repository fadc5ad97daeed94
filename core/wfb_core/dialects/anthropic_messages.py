"""Anthropic's Messages API.

Facts are from anthropic-sdk-python 2.12 (types/message_create_params.py, usage.py, message_delta_usage.py and their
beta forms): `input_tokens` leaves out what the cache read and wrote, which is added here; a stream's counts are running
totals, so a later one replaces an earlier one; `message_delta` may leave input null and never splits the cache by its
life; where `iterations` exist, each is billed at its own model and the top level leaves some of them out.

Others serve it too: Vertex AI (anthropic/lib/vertex: the path names model and stream), Foundry, and many that imitate
it, of which some begin a stream with zeros and tell input and cache with its end.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
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
from wfb_core.dialects.request import Document, flag, model_of, named, parse, part_of, whole
from wfb_core.dialects.tally import Part, Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "messages",
        "system",
        "tools",
        "max_tokens",
        "max_tokens_to_sample",
        "anthropic_version",
        "anthropic_beta",
        "stream",
        "metadata",
        "stop_sequences",
        "temperature",
        "top_k",
        "top_p",
        "service_tier",
        "speed",
        "inference_geo",
        "thinking",
        "cache_control",
        "container",
        "mcp_servers",
        "fallbacks",
        "fallback_credit_token",
        "context_management",
        "compaction",
        "thread",
        "betas",
        "billing_policy",
        "user_profile_id",
        "workspace_id",
        "diagnostics",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

TYPED_TOOLS: dict[str, int] = {
    "bash_": 2_000,
    "text_editor_": 4_000,
    "memory_": 4_000,
    "computer_toolset_": 32_000,
    "browser_toolset_": 32_000,
    "computer_": 8_000,
}
"""Tools that the caller runs and Anthropic describes: bytes to count for a description that the body does not show.

Documented are 245 to 735 tokens for the single tools and some hundred for their preamble; toolsets are assumed at a
multiple of that."""

SERVER_TOOLS = ("web_search", "web_fetch", "code_execution", "advisor", "tool_search", "mcp_toolset")
NO_GEO = frozenset({None, "global", "not_available"})


_VERTEX = re.compile(r"(?P<head>.*/publishers/anthropic/models/)(?P<model>[^/:?]+)(?:(?i::|%3A))(?P<verb>\w+)")
"""Vertex AI's paths: …/publishers/anthropic/models/MODEL:rawPredict and :streamRawPredict."""


class AnthropicMessages:
    """POST /v1/messages, Vertex AI's rawPredict, and the older /v1/complete, whose answers tell no usage."""

    name = "anthropic-messages"
    provider = "anthropic"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        document = parse(headers, body)
        vertex = _VERTEX.match(path)
        model = model_of(document) if vertex is None else unquote(vertex["model"])
        facts = messages_facts(document, model, provider)
        if vertex is not None:
            stream = flag(document, "stream") or vertex["verb"].startswith("stream")
            return replace(facts, stream=stream), document
        if path.partition("?")[0].rstrip("/").endswith("/complete"):
            cap = whole(document, "max_tokens_to_sample")
            return replace(facts, operation="complete", cap=cap), document
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `max_tokens` to at most `cap`; False, and nothing changed, where the thinking budget would not fit.

        A budget that was not below `max_tokens` before (interleaved thinking allows that) is no obstacle.
        """
        if facts.signed:
            return False
        asked = facts.cap
        if asked is not None and asked <= cap:
            return True
        thinking = document.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        if budget is not None and cap <= budget and (asked is None or budget < asked):
            return False
        document["max_tokens" if facts.operation == "messages" else "max_tokens_to_sample"] = cap
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, in the path where it stands there."""
        if vertex := _VERTEX.match(path):
            document.pop("model", None)
            return f"{vertex['head']}{quote(model, safe='@')}{path[vertex.end('model') :]}"
        document["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """The model that a path of Vertex AI names; None elsewhere, where the body does."""
        vertex = _VERTEX.match(path)
        return None if vertex is None else unquote(vertex["model"])

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; there is no usage chunk to strip."""
        del strip_usage_chunk
        return open_reader(MessagesMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Anthropic's error shape, the budget in `error.budget`; see refusal.answer."""
        if refusals.code(reason, status, retry_after) == "budget_exceeded":
            kind = "billing_error"
        else:
            kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        body = {
            "type": "error",
            "error": {"type": kind, "message": message, "budget": refusals.budget_object(reason, details)},
            "request_id": f"req_wfb_{details.get('decision') or ''}".rstrip("_"),
        }
        return refusals.answer(status, reason, details, retry_after, body)


def messages_facts(document: Document, model: str, provider: str) -> CallFacts:
    """What a body of the Messages API asks of a model; raises NotUnderstood."""
    tally = Tally()
    for message in part_of(document, "messages", list):
        tally.messages += 1
        tally.content(message, PARTS)
    system = document.get("system")
    if system is not None:
        tally.messages += len(system) if isinstance(system, list) else 1
        tally.content(system, PARTS)
    for tool in part_of(document, "tools", list):
        _read_tool(tally, tool)
    tally.rest(document, SILENT)
    if document.get("cache_control") is not None:
        tally.cached(document["cache_control"])
    _read_features(tally, document)
    return CallFacts(
        dialect=AnthropicMessages.name,
        provider=provider,
        operation="messages",
        model=model,
        stream=flag(document, "stream"),
        cap=whole(document, "max_tokens"),
        tier=_tier(named(document, "service_tier"), named(document, "speed"), named(document, "inference_geo")),
        input_bytes=tally.size,
        messages=tally.messages,
        tools=tally.tools,
        media=tuple(tally.media),
        hidden_input=tuple(tally.hidden),
        unbounded=tuple(tally.unbounded),
        cache_write=tally.cache_write,
        cache_write_1h=tally.cache_write_1h,
        reasoning=_thinks(document),
    )


ERROR_TYPES = {
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def _tier(service_tier: Any, speed: Any, geo: Any) -> str | None:
    """What makes a call dearer or cheaper than the standard one, joined by ``+``: ``priority``, ``fast``, ``geo-us``."""
    words = [word for word in (service_tier, speed) if word not in {None, "auto", "standard", "standard_only"}]
    if geo not in NO_GEO:
        words.append(f"geo-{geo}")
    return "+".join(words) or None


def _read_tool(tally: Tally, tool: Any) -> None:
    tally.tools += 1
    tally.text(tool)
    if not isinstance(tool, dict):
        return
    if tool.get("cache_control"):
        tally.cached(tool["cache_control"])
    kind = tool.get("type")
    if kind is None or kind == "custom":
        return
    for prefix, size in TYPED_TOOLS.items():
        if isinstance(kind, str) and kind.startswith(prefix):
            tally.size += size
            return
    names = (name for name in SERVER_TOOLS if isinstance(kind, str) and kind.startswith(name))
    tally.unbind(next(names, "unknown_tool"))


def _read_features(tally: Tally, document: Document) -> None:
    """Fields that add input or let a call bill beyond its bound."""
    for name in ("mcp_servers", "fallbacks"):
        if document.get(name):
            tally.unbind(name)
    if document.get("compaction") is not None:
        tally.unbind("compaction")
    for edit in part_of(part_of(document, "context_management", dict), "edits", list):
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not (isinstance(kind, str) and kind.startswith("clear_")):  # clearing only makes the input smaller
            tally.unbind("compaction")
    for name in ("container", "thread"):
        if document.get(name) is not None:
            tally.hide(name)


def _source(tally: Tally, part: Part, kind: str) -> Part:
    """An image or document by its source: data in base64, an address, a file, or text."""
    source = part.get("source")
    if not isinstance(source, dict):
        return part
    form = source.get("type")
    if form == "base64" and isinstance(source.get("data"), str):
        tally.add_media(kind, source["data"])
        return {**part, "source": {**source, "data": None}}
    if form in {"url", "file"}:
        if kind == "image":
            tally.add_media(kind, "")
        tally.hide("file_id" if form == "file" else f"{kind}_url")
        return {**part, "source": None}
    return part


def _image(tally: Tally, part: Part) -> Part:
    return _source(tally, part, "image")


def _document(tally: Tally, part: Part) -> Part:
    return _source(tally, part, "document")


def _container_upload(tally: Tally, part: Part) -> Part:
    tally.hide("file_id")
    return part


def _tool_use(tally: Tally, part: Part) -> Part:
    """A tool's arguments are text, whatever they look like."""
    tally.text(part.get("input"))
    return {k: v for k, v in part.items() if k != "input"}


PARTS = {
    "image": _image,
    "document": _document,
    "container_upload": _container_upload,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
}
"""Content blocks that are not, or not only, text."""


INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def messages_usage(counts: Mapping[str, Any], units: Mapping[str, int] | None = None) -> Usage:
    """Totals of a `usage` object; raises ValueError where its numbers are none."""
    read = tokens(counts, "cache_read_input_tokens")
    split = inner(counts, "cache_creation")
    short, long = tokens(split, "ephemeral_5m_input_tokens"), tokens(split, "ephemeral_1h_input_tokens")
    written = tokens(counts, "cache_creation_input_tokens")
    if counts.get("cache_creation_input_tokens") is None:
        written = short + long
    # A later total has no split of its own: what it adds is of the one kind there was.
    long = written if long and not short else min(long, written)
    return counted(
        units,
        input_tokens=tokens(counts, "input_tokens", required=not read and not written) + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=long,
        output_tokens=tokens(counts, "output_tokens", required=True),
        reasoning_tokens=tokens(inner(counts, "output_tokens_details"), "thinking_tokens"),
    )


def _thinks(document: Document) -> bool:
    """Whether thinking is asked for; raises NotUnderstood where its field is no object or its budget no number."""
    thinking = part_of(document, "thinking", dict)
    whole(thinking, "budget_tokens")
    return bool(thinking) and thinking.get("type") != "disabled"


def _sum(parts: list[tuple[str | None, Usage]], reasoning: int) -> Usage:
    def total(name: str) -> int:
        return sum(getattr(usage, name) for _, usage in parts)

    return Usage(
        units=parts[0][1].units,
        input_tokens=total("input_tokens"),
        cache_read_tokens=total("cache_read_tokens"),
        cache_write_tokens=total("cache_write_tokens"),
        cache_write_1h_tokens=total("cache_write_1h_tokens"),
        output_tokens=total("output_tokens"),
        reasoning_tokens=min(reasoning, total("output_tokens")),
    )


_TEXT = re.compile(rb'"(?:text|partial_json|thinking)"\s*:\s*"((?:[^"\\]++|\\.)*+)')


_DELTAS = (b"event: content_block_delta", b'data: {"type":"content_block_delta"')


class MessagesMeter:
    """Reads events; of text only its length."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._counts: dict[str, Any] = {}
        self._counted = False
        self._started = False
        self._open: dict[int, None] = {}

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; never True."""
        found = self.found
        if raw.startswith(_DELTAS):
            found.frames += 1
            text = _TEXT.search(raw)
            found.output_bytes += len(text[1]) if text else 0
            return False
        name, event = found.event(raw)
        if event is not None:
            found.frames += 1
            self._read(name, event)
        return False

    def _read(self, name: str, event: Event) -> None:
        found = self.found
        match name:
            case "message_start":
                message = event.get("message")
                if isinstance(message, dict):
                    self._started = True
                    self._names(message)
                    self._merge(message.get("usage"))
                    self._count(final=False)
            case "message_delta":
                self._merge(event.get("usage"))
                self._count(final=isinstance(event.get("usage"), dict))
            case "message_stop":
                found.finished = True
                if isinstance(event.get("usage"), dict):
                    self._merge(event["usage"])
                    self._count(final=True)
            case "content_block_start":
                if isinstance(event.get("index"), int):
                    self._open[event["index"]] = None
                found.output_bytes += sum(text_bytes(text) for text in strings(event.get("content_block")))
            case "content_block_stop":
                self._open.pop(event.get("index", -1), None)
            case "content_block_delta":
                found.output_bytes += sum(text_bytes(text) for text in strings(event.get("delta")))
            case "error":
                found.failed = True
            case "completion":  # of /v1/complete, which tells no usage
                self._names(event)
                found.output_bytes += sum(text_bytes(text) for text in strings(event.get("completion")))
                found.finished = found.finished or event.get("stop_reason") is not None
            case _:
                pass  # pings, and events not yet known

    def document(self, document: Any) -> None:
        """Reads a whole message."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        if document.get("type") == "error" or document.get("error") is not None:
            self.found.failed = True
        self._names(document)
        for name in ("content", "completion"):
            self.found.output_bytes += sum(text_bytes(text) for text in strings(document.get(name)))
        self._merge(document.get("usage"))
        self._count(final=True)

    def _names(self, message: Event) -> None:
        if isinstance(message.get("model"), str):
            self.found.served_model = message["model"]
        if isinstance(message.get("id"), str):
            self.found.response_id = message["id"]

    def _merge(self, counts: Any) -> None:
        """Takes running totals: a null keeps what was known, and so do zeros where no input is told at all."""
        if isinstance(counts, dict):
            self._counted = True
            known = {name: value for name, value in counts.items() if value is not None}
            if not any(known.get(name) for name in INPUT):
                known = {name: value for name, value in known.items() if not (name in INPUT and self._counts.get(name))}
            self._counts.update(known)
        elif counts is not None:
            self.found.malformed("usage is no object")

    def _count(self, *, final: bool) -> None:
        found, counts = self.found, self._counts
        if not self._counted:
            return
        if not final and found.usage is not None:
            return  # a delta without counts takes nothing back
        try:
            searches = inner(counts, "server_tool_use")
            extras = {name: tokens(searches, name) for name in ("web_search_requests", "web_fetch_requests")}
            units = {"web_searches": extras["web_search_requests"]}
            usage = messages_usage(counts, units)
            parts = _iterations(counts.get("iterations"), found.served_model, units)
        except ValueError as e:
            found.malformed(e)
            return
        found.extras = {name: count for name, count in extras.items() if count}
        found.tier = self._served_tier()
        if not final:
            found.partial = usage
            return
        found.partial = None
        if parts:  # reasoning is only told of the whole
            usage = _sum(parts, usage.reasoning_tokens)
        found.count_usage(usage, parts)

    def _served_tier(self) -> str | None:
        words = [self._counts.get(name) for name in ("service_tier", "speed", "inference_geo")]
        if words == [None, None, None]:
            return None
        return _tier(*(word if isinstance(word, str) else None for word in words)) or DEFAULT_TIER

    def ending(self) -> bytes:
        """The ends of every open block and of the message, its stop reason `max_tokens`."""
        if self.found.finished:
            return b""
        events: list[Event] = []
        if not self._started:
            events.append({"type": "message_start", "message": self._message()})
        events.extend({"type": "content_block_stop", "index": index} for index in self._open)
        known = self._counts.get("output_tokens")
        seen = max(known if isinstance(known, int) else 0, self.found.output_bytes // 4)
        stop = {"stop_reason": "max_tokens", "stop_sequence": None}
        events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": seen}})
        events.append({"type": "message_stop"})
        return b"".join(
            f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode() for event in events
        )

    def _message(self) -> Event:
        return {
            "id": "msg_wfb",
            "type": "message",
            "role": "assistant",
            "model": self._facts.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }


def _iterations(entries: Any, served: str | None, units: Mapping[str, int]) -> list[tuple[str | None, Usage]]:
    """(model, usage) of each iteration, the first with the whole's `units`; empty where there are none.

    Raises ValueError where they are no counts.
    """
    if not entries:
        return []
    if not isinstance(entries, list):
        raise ValueError("iterations is no list")
    parts: list[tuple[str | None, Usage]] = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("iterations holds no object")
        model = entry.get("model")
        parts.append((model if isinstance(model, str) else served, messages_usage(entry, None if parts else units)))
    return parts
