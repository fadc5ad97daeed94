"""Google's Live API: a conversation over a WebSocket, of which every turn is billed with all it was made from.

Facts are from google-genai 3.4 (live.py; types.py: LiveClientMessage, LiveServerMessage, UsageMetadata) and
ai.google.dev/api/live: the client's first message names the model; the server's `usageMetadata` counts a turn's prompt,
which is the whole session so far, and its response, and may come more than once in a turn, as running totals.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import DEFAULT_TIER, Answer, Found, told
from wfb_core.dialects.gemini_generate import (
    TRAFFIC,
    camel,
    field,
    listed,
    metadata_usage,
    plain_counts,
    read_content,
    read_tools,
    says_counts,
    served_tier,
)
from wfb_core.dialects.request import LONGEST_MODEL, Document, NotUnderstood
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes

MESSAGES = ("setup", "clientContent", "realtimeInput", "toolResponse")
"""Kinds of a client's messages."""


class GeminiLive:
    """WebSockets of BidiGenerateContent."""

    name = "gemini-live"

    def open(self, path: str, headers: Mapping[str, str], provider: str) -> "LiveMeter":
        """The meter of a socket; the first message says what it is for."""
        del path, headers
        return LiveMeter(self.name, provider)


class LiveMeter:
    """Reads the messages of both sides: what is sent makes the next turn's input, what comes its answer."""

    def __init__(self, dialect: str, provider: str) -> None:
        self._dialect = dialect
        self._provider = provider
        self._model: str | None = None
        self._cap: int | None = None
        self._tier: str | None = None
        self._tally = Tally()
        self._found = Found()
        self._awaits = False
        """Whether a turn has ended whose counts are still to come."""

    def sent(self, message: bytes) -> None:
        """A message of the client: the setup, a turn's content, sound as it is spoken, a tool's result."""
        document = _parsed(message)
        try:
            for name, value in document.items():
                kind = camel(name)
                if kind == "setup" and isinstance(value, dict):
                    self._setup(value)
                elif kind in MESSAGES:
                    self._input(value)
        except (NotUnderstood, ValueError, RecursionError):
            self._tally.hide("message")

    def _setup(self, setup: Document) -> None:
        model = setup.get("model")
        if isinstance(model, str) and 0 < len(model) <= LONGEST_MODEL:
            self._model = model.rpartition("/")[2]
        config = field(setup, "generationConfig")
        cap = field(config, "maxOutputTokens") if isinstance(config, dict) else None
        self._cap = cap if isinstance(cap, int) and not isinstance(cap, bool) and cap >= 0 else None
        tier = served_tier(field(setup, "serviceTier"))
        self._tier = None if tier == DEFAULT_TIER else tier
        for content in listed(field(setup, "systemInstruction")):
            read_content(self._tally, content)
        read_tools(self._tally, listed(setup.get("tools")))
        if field(setup, "sessionResumption") is not None:
            self._tally.hide("sessionResumption")

    def _input(self, value: Any) -> None:
        if not isinstance(value, dict):
            self._tally.text(value)
            return
        for name, part in value.items():
            match camel(name):
                case "turns":
                    for content in listed(part):
                        read_content(self._tally, content)
                case "audio" | "video" | "mediaChunks":
                    self._media(listed(part))
                case _:
                    self._tally.text(part)

    def _media(self, chunks: list[Any]) -> None:
        """Sound and pictures in small pieces: one medium of each kind, as long as all its pieces."""
        for chunk in chunks:
            mime = field(chunk, "mimeType") if isinstance(chunk, dict) else None
            kind = mime.partition("/")[0] if isinstance(mime, str) else "audio"
            data = chunk.get("data") if isinstance(chunk, dict) else None
            size = len(data) * 3 // 4 if isinstance(data, str) else 0
            for place, (known, so_far) in enumerate(self._tally.media):
                if known == kind:
                    self._tally.media[place] = (kind, so_far + size)
                    break
            else:
                self._tally.media.append((kind, size))

    def received(self, message: bytes) -> tuple[Answer, ...]:
        """A message of the server: the answer of the turn that it ends, whose counts it has or had before."""
        document = _parsed(message)
        found = self._found
        ends = False
        counts: Any = None
        for name, value in document.items():
            match camel(name):
                case "serverContent" if isinstance(value, dict):
                    ends = ends or _content_ends(value)
                    found.frames += 1
                    found.output_bytes += sum(text_bytes(text) for text in _shown(value))
                case "toolCall":
                    ends = True
                    found.frames += 1
                case "usageMetadata":
                    counts = value
                case "error":
                    found.failed = ends = True
                case _:
                    pass
        if counts is not None:
            self._count(counts)
        if found.usage is None and found.finding is None:
            self._awaits = self._awaits or ends
            return ()
        return (self._answer(True),) if ends or self._awaits else ()

    def _count(self, reported: Any) -> None:
        found = self._found
        try:
            counts = plain_counts(reported)
            traffic = counts.get("trafficType")
            tier = TRAFFIC.get(traffic) if isinstance(traffic, str | int) else None
            found.tier = served_tier(counts.get("serviceTier")) or tier or found.tier
            if says_counts(counts):
                found.count_usage(metadata_usage(counts))
        except ValueError as e:
            found.malformed(e)

    def _answer(self, finished: bool) -> Answer:
        found, self._found = self._found, Found()
        found.served_model, found.finished = self._model, finished
        self._awaits = False
        return told(found, None)

    def facts(self) -> CallFacts | None:
        """What the next turn may cost: what was sent so far, and a session that no message shows whole."""
        if self._model is None:
            return None
        tally = self._tally
        return CallFacts(
            dialect=self._dialect,
            provider=self._provider,
            operation="BidiGenerateContent",
            model=self._model,
            stream=True,
            cap=self._cap,
            tier=self._tier,
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=("session", *tally.hidden),
            unbounded=tuple(tally.unbounded),
        )

    def end(self) -> Answer | None:
        """The turn under way when the socket closed."""
        if not self._found.frames and self._found.usage is None:
            return None
        return self._answer(False)


def _parsed(message: bytes) -> Document:
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _content_ends(content: Mapping[str, Any]) -> bool:
    return content.get("turnComplete") is True or content.get("turn_complete") is True


def _shown(content: Mapping[str, Any]) -> Iterator[str]:
    """Text of the model's turn and of transcriptions; sound in base64 is left out."""
    for name, value in content.items():
        if isinstance(value, dict) and camel(name) != "inputTranscription":
            for part in (value, *listed(value.get("parts"))):
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    yield part["text"]
