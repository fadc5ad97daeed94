"""Ollama's own API: /api/chat, /api/generate, /api/embed and the older /api/embeddings.

Facts are from ollama-python 0.6 (_types.py) and docs.ollama.com/openapi.yaml: a stream is one JSON object a line and is
what a request gets that does not say ``"stream": false``; counts stand in the last object, `done: true`. Ollama omits
zeros. `prompt_eval_count` includes `prompt_eval_cached_count` (ollama/ollama#16428); servers before 0.3 left it out
where the prompt was cached (ollama/ollama#2068). `eval_count` includes thinking, which is not counted apart.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Event, Found, counted, open_reader, strings, tokens
from wfb_core.dialects.framing import LINES
from wfb_core.dialects.request import Document, flag, model_of, not_understood, parse, part_of, whole
from wfb_core.dialects.tally import NO_PARTS, Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

OPERATIONS = ("chat", "generate", "embed", "embeddings")
STREAMED = frozenset({"chat", "generate"})
"""Operations that stream where the request does not say otherwise."""

SILENT = frozenset(
    [
        "model",
        "messages",
        "tools",
        "stream",
        "options",
        "keep_alive",
        "images",
        "context",
        "raw",
        "think",
        "format",
        "logprobs",
        "top_logprobs",
        "truncate",
        "dimensions",
        "width",
        "height",
        "steps",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""


class Ollama:
    """POST /api/chat, /api/generate, /api/embed and /api/embeddings."""

    name = "ollama"
    provider = "ollama"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        operation = path.partition("?")[0].rstrip("/").rpartition("/")[2]
        if operation not in OPERATIONS:
            raise not_understood(f"the path names no operation that is metered; use one of {', '.join(OPERATIONS)}")
        document = parse(headers, body)
        model = model_of(document)
        tally = Tally()
        for message in part_of(document, "messages", list):
            tally.messages += 1
            if isinstance(message, dict):
                _read_images(tally, message.get("images"))
                message = {k: v for k, v in message.items() if k != "images"}  # noqa: PLW2901 - the rest is text
            tally.content(message, NO_PARTS)
        tools = part_of(document, "tools", list)
        tally.tools = len(tools)
        tally.text(tools)
        _read_images(tally, document.get("images"))
        tally.size += len(part_of(document, "context", list))  # tokens of the turns before, as numbers
        tally.rest(document, SILENT)
        inputs = document.get("input")
        tally.messages = tally.messages or (len(inputs) if isinstance(inputs, list) else 1)
        cap = part_of(document, "options", dict).get("num_predict")
        if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool)):
            raise not_understood("options.num_predict is no whole number; use a whole number of tokens")
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=operation,
            model=model,
            stream=operation in STREAMED and (document.get("stream") is None or flag(document, "stream")),
            cap=cap if cap is not None and cap > 0 and operation in STREAMED else None,  # -1 and -2 are no bounds
            input_bytes=tally.size,
            messages=tally.messages,
            inputs=len(inputs) if isinstance(inputs, list) and inputs else 1,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            reasoning=_thinks(document.get("think")),
        )
        whole(document, "dimensions")
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """Nothing: the last line counts by itself."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `options.num_predict`; False for embeddings, which make no output."""
        if facts.signed or facts.operation not in STREAMED:
            return False
        lowest = cap if facts.cap is None else min(facts.cap, cap)
        document["options"] = {**(document.get("options") or {}), "num_predict": lowest}
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
        return open_reader(OllamaMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Ollama's error shape, a text in `error`, with the budget beside it; see refusal.answer."""
        body = {"error": message, "budget": refusals.budget_object(reason, details)}
        return refusals.answer(status, reason, details, retry_after, body)


def _read_images(tally: Tally, images: Any) -> None:
    for image in images if isinstance(images, list) else ():
        if isinstance(image, str):
            tally.add_media("image", image)


def _thinks(think: Any) -> bool | None:
    """Whether thinking is asked for: true, false or a level; None where the model decides."""
    return None if think is None else bool(think)


def ollama_usage(answer: Event) -> Usage | None:
    """Totals that an object tells; None where it tells none. Raises ValueError where its numbers are none."""
    asked, made = answer.get("prompt_eval_count"), answer.get("eval_count")
    drawn = 1 if isinstance(answer.get("image"), str) and answer["image"] else 0
    if asked is None and made is None and not drawn and answer.get("done_reason") not in {"load", "unload"}:
        return None
    return counted(
        {"images": drawn},
        input_tokens=tokens(answer, "prompt_eval_count"),
        cache_read_tokens=tokens(answer, "prompt_eval_cached_count"),
        output_tokens=tokens(answer, "eval_count"),
    )


_TEXT = re.compile(rb'"(?:content|response|thinking)"\s*:\s*"((?:[^"\\]++|\\.)*+)')


class OllamaMeter:
    """Reads lines, most of them without parsing: a line of text is only measured."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._opened = False
        self._created = "1970-01-01T00:00:00Z"

    def frame(self, raw: bytes) -> bool:
        """Reads one line; never True."""
        find, found = raw.find, self.found
        if (
            self._opened
            and find(b'"done":false') >= 0
            and find(b'eval_count"') < 0
            and find(b'"error"') < 0
            and find(b'"tool_calls"') < 0
            and raw[:1] == b"{"
        ):
            found.frames += 1
            for text in _TEXT.finditer(raw):
                found.output_bytes += len(text[1])
            return False
        _, event = found.event(raw)
        if event is not None:
            self._opened = True
            found.frames += 1
            self._read(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if isinstance(document, dict):
            self._read(document)
        else:
            self.found.broken()

    def _read(self, answer: Event) -> None:
        found = self.found
        if answer.get("error") is not None:
            found.failed = True
        if isinstance(answer.get("model"), str):
            found.served_model = answer["model"]
        if isinstance(answer.get("created_at"), str):
            self._created = answer["created_at"]
        for name in ("message", "response", "thinking"):
            found.output_bytes += sum(text_bytes(text) for text in strings(answer.get(name)))
        try:
            if (usage := ollama_usage(answer)) is not None:
                found.count_usage(usage)
        except ValueError as e:
            found.malformed(e)
        if answer.get("done") is True:
            found.finished = True

    def ending(self) -> bytes:
        """The last line of a stream whose `num_predict` is reached; nothing in any other framing."""
        if self.found.finished or self.found.framing != LINES:
            return b""
        text = (
            {"message": {"role": "assistant", "content": ""}} if self._facts.operation == "chat" else {"response": ""}
        )
        line = {
            "model": self.found.served_model or self._facts.model,
            "created_at": self._created,
            **text,
            "done": True,
            "done_reason": "length",
        }
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"
