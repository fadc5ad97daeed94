"""Cohere's Chat API, version 2 and 1, and its older Generate.

Facts are from cohere-python 5 (types/usage.py, chat_message_end_event_delta.py, api_meta.py, stream_end) and recorded
answers: `billed_units` are what is paid, while `tokens` also count Cohere's own preamble, so the cached tokens, which
are some of `tokens`, can exceed what is billed; a stream tells its usage in `message-end` (version 2) or `stream-end`
(version 1, lines of JSON unless events are asked for); version 2 never names the model that served.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Event, Found, counted, inner, open_reader, strings, tokens
from wfb_core.dialects.framing import LINES
from wfb_core.dialects.openai_chat import PARTS as OPENAI_PARTS
from wfb_core.dialects.request import Document, flag, model_of, parse, part_of, whole
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "messages",
        "chat_history",
        "tools",
        "stream",
        "max_tokens",
        "temperature",
        "k",
        "p",
        "seed",
        "stop_sequences",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "safety_mode",
        "tool_choice",
        "strict_tools",
        "citation_options",
        "citation_quality",
        "prompt_truncation",
        "num_generations",
        "return_likelihoods",
        "raw_prompting",
        "thinking",
        "priority",
        "conversation_id",
        "search_queries_only",
        "connectors",
        "max_input_tokens",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""
DEFAULT_MODELS = {"v1/chat": "command-r-plus-08-2024", "v1/generate": "command"}
"""What version 1 serves where a request names no model, by Cohere's API reference."""
PARTS = {"image_url": OPENAI_PARTS["image_url"]}


class CohereChat:
    """POST /v2/chat, /v1/chat and /v1/generate."""

    name = "cohere-chat"
    provider = "cohere"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        document = parse(headers, body)
        last = "/".join(path.partition("?")[0].rstrip("/").split("/")[-2:])
        model = DEFAULT_MODELS.get(last, "") if document.get("model") is None else ""
        model = model or model_of(document)
        tally = Tally()
        for name in ("messages", "chat_history"):
            for message in part_of(document, name, list):
                tally.messages += 1
                tally.content(message, PARTS)
        if document.get("message") is not None or document.get("prompt") is not None:
            tally.messages += 1
        tools = part_of(document, "tools", list)
        tally.tools = len(tools)
        tally.text(tools)
        tally.rest(document, SILENT)
        if document.get("connectors"):
            tally.unbind("connectors")
        if document.get("conversation_id"):
            tally.hide("conversation_id")
        thinking = part_of(document, "thinking", dict)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=last.rpartition("/")[2],
            model=model,
            stream=flag(document, "stream"),
            cap=whole(document, "max_tokens"),
            choices=whole(document, "num_generations", 1) or 1,
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            reasoning=thinking.get("type") != "disabled" if thinking else None,
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `max_tokens` to at most `cap`; False where a thinking budget would not fit."""
        if facts.cap is not None and facts.cap <= cap:
            return True
        thinking = document.get("thinking")
        budget = thinking.get("token_budget") if isinstance(thinking, dict) else None
        if isinstance(budget, int) and cap <= budget and (facts.cap is None or budget < facts.cap):
            return False
        document["max_tokens"] = cap
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the body names."""
        document["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the body names it."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; there is no usage chunk to strip."""
        del strip_usage_chunk
        return open_reader(CohereMeter(), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Cohere's error shape; see cohere_refusal."""
        return cohere_refusal(reason, message, status, details, retry_after)


def cohere_refusal(
    reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None
) -> refusals.Refusal:
    """A refusal whose `message` the SDK's ApiError carries, the budget in `budget`; see refusal.answer."""
    body = {
        "id": f"wfb-{details.get('decision') or ''}".rstrip("-"),
        "message": message,
        "budget": refusals.budget_object(reason, details),
    }
    return refusals.answer(status, reason, details, retry_after, body)


UNITS = {"search_units": "search_units", "images": "images", "classifications": "requests"}
"""Billed units beside tokens: Cohere's name, ours. A classification is billed as a request is."""


def billed(counts: Mapping[str, Any]) -> Usage | None:
    """Totals of a `usage` or `meta` object: what is billed; None where it bills nothing.

    An image's tokens are a class of the input where they fit into it, else they are beside it. Raises ValueError where
    its numbers are none.
    """
    units = inner(counts, "billed_units")
    if not any(value is not None for value in units.values()):
        return None
    images, text = tokens(units, "image_tokens"), tokens(units, "text_tokens")
    total = tokens(units, "input_tokens")
    if images > total or (images and text and text == total) or "input_tokens" not in units:
        total = (total or text) + images
    return counted(
        {ours: tokens(units, name) for name, ours in UNITS.items()},
        input_tokens=total,
        cache_read_tokens=tokens(counts, "cached_tokens"),
        output_tokens=tokens(units, "output_tokens"),
        image_input_tokens=images,
    )


_TELLING = (b'"message-end"', b'"stream-end"', b'"is_finished":true', b'"is_finished": true', b'"error":', b"[DONE]")
_TEXT = re.compile(rb'"(?:text|arguments|tool_plan|thinking|name)"\s*:\s*"((?:[^"\\]++|\\.)*+)')


class CohereMeter:
    """Reads events and lines; of text only its length."""

    def __init__(self) -> None:
        self.found = Found()
        self._opened = False

    def frame(self, raw: bytes) -> bool:
        """Reads one event or line; never True."""
        found = self.found
        if self._opened and not any(raw.find(mark) >= 0 for mark in _TELLING):
            found.frames += 1
            found.output_bytes += sum(len(text[1]) for text in _TEXT.finditer(raw))
            return False
        name, event = found.event(raw)
        if event is None:
            return False
        found.frames += 1
        self._opened = True
        kind = event.get("event_type")
        self._read(kind if isinstance(kind, str) else name, event)
        return False

    def _read(self, name: str, event: Event) -> None:
        found = self.found
        delta = event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if event.get("error") is not None or delta.get("error") is not None:
            found.failed = True
        if name == "message-end":
            self._ended(delta)
            self._count(delta.get("usage"))
        elif name == "stream-end" or event.get("is_finished") is True:
            self._ended(event)
            response = event.get("response")
            if isinstance(response, dict):
                self._identify(response)
                self._count(response.get("meta"))
            self._count(event.get("meta"))
        elif name in {"message-start", "stream-start"}:
            self._identify(event)
        else:
            found.output_bytes += sum(text_bytes(text) for text in strings(delta or event.get("text")))

    def _ended(self, event: Event) -> None:
        self.found.finished = True
        reason = event.get("finish_reason")
        if isinstance(reason, str) and reason.startswith("ERROR"):
            self.found.failed = True

    def _identify(self, event: Event) -> None:
        for name in ("id", "response_id", "generation_id"):
            if isinstance(event.get(name), str):
                self.found.response_id = event[name]
                break
        if isinstance(event.get("model"), str):
            self.found.served_model = event["model"]

    def _count(self, counts: Any) -> None:
        """Takes the counts of a `usage` or `meta` object where it has some."""
        if counts is None:
            return
        try:
            usage = billed(counts if isinstance(counts, dict) else {})
        except ValueError as e:
            self.found.malformed(e)
            return
        if usage is not None:
            self.found.count_usage(usage)

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        if isinstance(document.get("message"), str) and not {"usage", "meta"} & document.keys():
            found.failed = True
        self._ended(document)
        self._identify(document)
        shown = [document.get(name) for name in ("message", "text", "tool_calls", "generations")]
        found.output_bytes += sum(text_bytes(text) for text in strings(shown))
        self._count(document.get("meta"))
        self._count(document.get("usage"))

    def ending(self) -> bytes:
        """The message's end for its cap, in the framing and version that the stream has."""
        if self.found.finished:
            return b""
        if self.found.framing == LINES:
            return _line({"is_finished": True, "event_type": "stream-end", "finish_reason": "MAX_TOKENS"})
        end = {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": {}}}
        return b"event: message-end\ndata: " + _line(end) + b"\ndata: [DONE]\n\n"


def _line(event: Event) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"
