"""Amazon Bedrock's InvokeModel: every model's own shape, in one body or in AWS event messages.

Facts are from botocore 1.44 (InvokeModel, ResponseStream), AWS's pages on each family's parameters
(docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html) and recorded answers. Counts come from three
places, the first that knows wins: the model's own usage, `amazon-bedrock-invocationMetrics` in a stream's last chunk,
the headers `x-amzn-bedrock-…-token-count` of a whole answer, which are all that some models have (Cohere's and Nova's
embeddings, J2, Command, Claude 2). Metrics and headers leave the cache out of their input.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import DEFAULT_TIER, AnswerReader, Event, Found, counted, open_reader, strings, tokens
from wfb_core.dialects.anthropic_messages import PARTS as CLAUDE_PARTS
from wfb_core.dialects.anthropic_messages import TYPED_TOOLS, MessagesMeter
from wfb_core.dialects.bedrock_converse import (
    bedrock_refusal,
    converse_usage,
    event_message,
    fits_thinking,
    is_deployment,
    is_signed,
    model_in_path,
    path_with_model,
    read_blocks,
    read_event,
    requested_model,
    streams,
    thinks,
    tier_named,
)
from wfb_core.dialects.framing import SSE
from wfb_core.dialects.openai_chat import PARTS as OPENAI_PARTS
from wfb_core.dialects.openai_chat import ChatMeter
from wfb_core.dialects.request import Document, header, parse, whole
from wfb_core.dialects.sse import FrameScanner, fields
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "anthropic_version",
        "anthropic_beta",
        "messages",
        "system",
        "tools",
        "stream",
        "model",
        "images",
        "inputImage",
        "toolConfig",
        "textGenerationConfig",
        "imageGenerationConfig",
        "embeddingConfig",
        "embedding_types",
        "input_type",
        "truncate",
        "normalize",
        "dimensions",
        "inferenceConfig",
        "schemaVersion",
        "stop",
        "stop_sequences",
        "stopSequences",
        "temperature",
        "top_p",
        "topP",
        "top_k",
        "topK",
        "p",
        "k",
        "n",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "max_tokens_to_sample",
        "max_gen_len",
        "maxTokens",
        "max_new_tokens",
        "num_generations",
        "numResults",
        "thinking",
        "reasoning_effort",
        "service_tier",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

CAPS: tuple[tuple[str, ...], ...] = (
    ("max_tokens",),
    ("max_completion_tokens",),
    ("max_tokens_to_sample",),
    ("max_gen_len",),
    ("maxTokens",),
    ("max_new_tokens",),
    ("textGenerationConfig", "maxTokenCount"),
    ("inferenceConfig", "maxTokens"),
    ("inferenceConfig", "max_new_tokens"),
)
"""Where the families keep their bound on output."""
FAMILY_CAPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("titan-text", ("textGenerationConfig", "maxTokenCount")),
    ("titan-tg", ("textGenerationConfig", "maxTokenCount")),
    ("amazon.nova", ("inferenceConfig", "maxTokens")),
    ("meta.llama", ("max_gen_len",)),
    ("ai21.j2", ("maxTokens",)),
    ("anthropic.claude-v2", ("max_tokens_to_sample",)),
    ("anthropic.claude-instant", ("max_tokens_to_sample",)),
    ("anthropic.claude", ("max_tokens",)),
    ("mistral.", ("max_tokens",)),
    ("cohere.command", ("max_tokens",)),
    ("ai21.jamba", ("max_tokens",)),
    ("deepseek.", ("max_tokens",)),
    ("openai.", ("max_completion_tokens",)),
    ("qwen.", ("max_tokens",)),
)
"""Which of them a family takes, by a part of its models' ids: used where a request sets none."""
CHOICES = ("n", "num_generations", "numResults")
NOT_CHAT = ("embed", "rerank", "titan-image", "nova-canvas", "stability.", "marengo")
"""Parts of the ids of models that make no text."""
DOCUMENTS_A_SEARCH = 100
"""Documents that a reranker takes for one search (aws.amazon.com/bedrock/pricing)."""


class BedrockInvoke:
    """POST /model/{modelId}/invoke and /model/{modelId}/invoke-with-response-stream."""

    name = "bedrock-invoke"
    provider = "aws"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        model = requested_model(path)
        document = parse(headers, body)
        tally = Tally()
        _read_input(tally, document)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="invoke-with-response-stream" if streams(path) else "invoke",
            model=model,
            stream=streams(path),
            cap=0 if any(kind in model for kind in NOT_CHAT) else _cap(document),
            choices=max([whole(document, name, 1) or 1 for name in CHOICES]),
            tier=tier_named(
                header(headers, "x-amzn-bedrock-service-tier"),
                header(headers, "x-amzn-bedrock-performanceconfig-latency"),
            ),
            input_bytes=tally.size,
            messages=tally.messages,
            inputs=max(
                [1, *(len(many) for name in ("texts", "images") if isinstance(many := document.get(name), list))]
            ),
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            cache_write=tally.cache_write,
            cache_write_1h=tally.cache_write_1h,
            reasoning=thinks(document),
            signed=is_signed(headers),
            deployment=is_deployment(model),
            units=_units(model, document),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers the family's cap; False where the body is signed, the family unknown or a thinking budget too large."""
        if facts.signed:
            return False
        if facts.cap is not None and facts.cap <= cap:
            return True
        used = [path for path in CAPS if _at(document, path) is not None]
        used = used or [path for part, path in FAMILY_CAPS if part in facts.model][:1]
        if not used or not fits_thinking(document, facts.cap, cap):
            return False
        for path in used:
            asked = _at(document, path)
            _put(document, path, cap if asked is None else min(asked, cap))
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model of the same family, which the path names; never where the path is signed."""
        del document
        return path_with_model(path, model)

    def model_in(self, path: str) -> str | None:
        """The model's id or ARN, decoded."""
        return model_in_path(path)

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; there is no usage chunk to strip."""
        del strip_usage_chunk
        return open_reader(InvokeMeter(facts, headers or {}), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Bedrock's error shape; see bedrock_refusal."""
        return bedrock_refusal(reason, message, status, details, retry_after)


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
    """The cap at a path of one or two fields; raises NotUnderstood where it is no whole number."""
    holder = document if len(path) == 1 else document.get(path[0])
    return whole(holder, path[-1]) if isinstance(holder, dict) else None


def _put(document: Document, path: tuple[str, ...], cap: int) -> None:
    if len(path) == 1:
        document[path[0]] = cap
    else:
        document[path[0]] = {**(document.get(path[0]) or {}), path[1]: cap}


def _cap(document: Document) -> int | None:
    return max((cap for path in CAPS if (cap := _at(document, path)) is not None), default=None)


def _units(model: str, document: Document) -> tuple[tuple[str, int], ...]:
    """What a reranker or a maker of images bills instead of tokens."""
    documents = document.get("documents")
    if "rerank" in model and isinstance(documents, list):
        return (("search_units", max(1, -(-len(documents) // DOCUMENTS_A_SEARCH))),)
    settings = document.get("imageGenerationConfig")
    if isinstance(settings, dict):
        return (("images", whole(settings, "numberOfImages") or 1),)
    return ()


def _read_input(tally: Tally, document: Document) -> None:
    """Counts what any family's body puts into its model."""
    messages = document.get("messages")
    for turn in messages if isinstance(messages, list) else [messages]:
        tally.messages += 1
        _read_turn(tally, turn)
    _read_turn(tally, document.get("system"))
    tools = document.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        _read_tool(tally, tool)
    settings = document.get("toolConfig")
    listed = settings.get("tools") if isinstance(settings, dict) else None
    tally.tools += len(listed) if isinstance(listed, list) else 0
    read_blocks(tally, settings)
    images = document.get("images")
    for image in [*(images if isinstance(images, list) else ()), document.get("inputImage")]:
        if isinstance(image, str):
            tally.add_media("image", image)
    for name in document.keys() - SILENT:
        read_blocks(tally, document[name])
    if not tally.messages:
        tally.messages = 1


def _read_turn(tally: Tally, turn: Any) -> None:
    """A message or system prompt: blocks with a `type` as Anthropic and OpenAI have them, or with one key as Nova has."""
    content = turn.get("content") if isinstance(turn, dict) else turn
    blocks = content if isinstance(content, list) else ()
    if any(isinstance(block, dict) and "type" not in block for block in blocks):
        read_blocks(tally, turn)
    elif turn is not None:
        tally.content(turn, PARTS)


def _read_tool(tally: Tally, tool: Any) -> None:
    tally.tools += 1
    tally.text(tool)
    if not isinstance(tool, dict):
        return
    if tool.get("cache_control"):
        tally.cached(tool["cache_control"])
    kind = tool.get("type")
    if kind is None:
        return
    if isinstance(kind, str):
        if kind in {"custom", "function"}:
            return
        for prefix, size in TYPED_TOOLS.items():
            if kind.startswith(prefix):
                tally.size += size
                return
    tally.unbind("unknown_tool")


PARTS = {**OPENAI_PARTS, **CLAUDE_PARTS}
"""Content parts that are not text, of the families whose parts have a type."""

HEADERS = {
    "input": "x-amzn-bedrock-input-token-count",
    "output": "x-amzn-bedrock-output-token-count",
    "read": "x-amzn-bedrock-cache-read-input-token-count",
    "written": "x-amzn-bedrock-cache-write-input-token-count",
}
METRICS = {
    "input": "inputTokenCount",
    "output": "outputTokenCount",
    "read": "cacheReadInputTokenCount",
    "written": "cacheWriteInputTokenCount",
}
METRICS_FIELD = "amazon-bedrock-invocationMetrics"
_METRICS_FIELD = METRICS_FIELD.encode()
_BYTES = b'"bytes":"'
_LAST = ("completionReason", "totalOutputTextTokenCount", "stop_reason", "metadata")
"""Fields that only a family's last chunk has, or has as more than null."""
_TELLING = re.compile(
    rb'"(?:stop_reason|stopReason|finish_reason|completionReason)"\s*:\s*"|"is_finished"\s*:\s*true'
    rb'|"(?:usage|metadata|meta|error|choices)"|"totalOutputTextTokenCount"\s*:\s*\d'
)
"""What only chunks have that say more than text; Llama's running totals are read with its last."""
_TEXT = re.compile(rb'"(?:generation|outputText|text|completion|input)"\s*:\s*"((?:[^"\\]++|\\.)*+)')
_CLAUDE_DELTA = b'{"type":"content_block_delta"'
_CLAUDE_TEXT = re.compile(rb'"(?:text|partial_json|thinking)"\s*:\s*"((?:[^"\\]++|\\.)*+)')
_CLAUDE_EVENTS = ("message_", "content_block_", "ping")


class InvokeMeter:
    """Reads a model's own shape: Claude's and OpenAI's with their own meters, the others by the names of their counts."""

    def __init__(self, facts: CallFacts, headers: Mapping[str, str]) -> None:
        self.found = Found()
        self._facts = facts
        self._inner: MessagesMeter | ChatMeter | None = None
        self._own: dict[str, int] = {}
        self._metrics: dict[str, int] = {}
        told = {n.lower(): text.strip() for n, text in headers.items() if n[:15].lower() == "x-amzn-bedrock-"}
        self._headers = {
            name: int(text)
            for name, field in HEADERS.items()
            if (text := told.get(field, "")).isascii() and text.isdigit() and len(text) <= 12
        }
        self._nova: Mapping[str, Any] = {}
        self._last: Event = {}
        self._units: dict[str, int] = {}
        tier, latency = told.get("x-amzn-bedrock-service-tier"), told.get("x-amzn-bedrock-performanceconfig-latency")
        if tier or latency:
            self.found.tier = tier_named(tier, latency) or DEFAULT_TIER

    def frame(self, raw: bytes) -> bool:
        """Reads one message of a stream; never True."""
        at = raw.find(_BYTES)
        if at < 0:
            self._plain(raw)
            return False
        start = at + len(_BYTES)
        try:
            text = binascii.a2b_base64(raw[start : raw.find(b'"', start)])
        except ValueError:
            self.found.broken()
            return False
        if text.find(_METRICS_FIELD) >= 0:
            self._end_of_stream(text)
        elif self._inner is not None:
            if text.startswith(_CLAUDE_DELTA):
                self.found.frames += 1
                self.found.output_bytes += sum(len(shown[1]) for shown in _CLAUDE_TEXT.finditer(text))
            else:
                self._hand_on(self._inner, text)
        elif self._last and not _TELLING.search(text):
            self.found.frames += 1
            self.found.output_bytes += sum(len(shown[1]) for shown in _TEXT.finditer(text))
        else:
            self._parse(text)
        return False

    def _plain(self, raw: bytes) -> None:
        """A message without a chunk: an exception, or an object of a gateway that took the chunks out."""
        _, event = read_event(self.found, raw)
        if event is not None:
            self._read(event)

    def _parse(self, text: bytes) -> None:
        event = _object(text)
        if event is None:
            self.found.broken()
            return
        self._read(event)

    def _read(self, event: Event) -> None:
        """A chunk, parsed: the first one tells whose shape the stream has."""
        if self._inner is None:
            self._inner = self._meter_of(event)
        if self._inner is not None:
            self._hand_on(self._inner, json.dumps(event, separators=(",", ":")).encode())
            return
        self.found.frames += 1
        self._last = event
        self.found.output_bytes += sum(text_bytes(text) for text in strings(event))
        self._native(event)
        if any(event.get(name) is not None for name in _LAST):
            self.found.finished = True
        self._settle(whole=self.found.finished)

    def _hand_on(self, inner: MessagesMeter | ChatMeter, text: bytes) -> None:
        """Gives a chunk to its family's meter, in the framing of that family's own API."""
        framing, self.found.framing = self.found.framing, SSE
        inner.frame(_sse(text))
        self.found.framing = framing

    def _end_of_stream(self, text: bytes) -> None:
        """The last chunk: its own content first, then the metrics that Bedrock put into it."""
        event = _object(text)
        if event is None:
            self.found.broken()
            return
        metrics = event.pop(METRICS_FIELD, None)
        event.pop("amazon-bedrock-trace", None)
        counted_before = self.found.usage is not None or event.get("usage") is not None
        self._read(event)
        if isinstance(metrics, dict):
            self.found.finished = True
            try:
                self._metrics = {name: tokens(metrics, field) for name, field in METRICS.items() if field in metrics}
            except ValueError as e:
                if self.found.usage is None:
                    self.found.malformed(e)
            if "input" in self._metrics and not counted_before:
                self.found.usage = None  # at best a family's first counts, which its end made into the last
        self._settle(whole=self.found.finished)

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        self._inner = self._meter_of(document)
        if self._inner is not None:
            self._inner.document(document)
        else:
            if set(document) <= {"message", "Message", "__type"}:
                found.failed = True
            found.output_bytes += _text_in(document)
            self._native(document)
            images = document.get("images")
            if isinstance(images, list) and all(isinstance(image, str) for image in images):
                self._units = {"images": len(images)}
            elif not self._headers and not found.failed:
                self._units = dict(self._facts.units)
        self._settle(whole=True)

    def _meter_of(self, event: Event) -> MessagesMeter | ChatMeter | None:
        """The meter of Claude's or OpenAI's shape, which learns into our own Found; None for the others."""
        kind = event.get("type")
        meter: MessagesMeter | ChatMeter
        if isinstance(kind, str) and (kind in {"message", "error"} or kind.startswith(_CLAUDE_EVENTS)):
            meter = MessagesMeter(self._facts)
        elif isinstance(event.get("choices"), list):
            meter = ChatMeter(self._facts)
        else:
            return None
        meter.found = self.found
        return meter

    def _native(self, event: Event) -> None:
        """The counts of the families that name them in their own way; a later one replaces an earlier one."""
        if event.get("error") is not None:
            self.found.failed = True
        for name in ("id", "generation_id", "response_id"):
            if isinstance(event.get(name), str) and self.found.response_id is None:
                self.found.response_id = event[name]
        if isinstance(event.get("model"), str):
            self.found.served_model = event["model"]
        try:
            self._own.update(_own_counts(event))
            metadata = event.get("metadata")
            usage = (metadata if isinstance(metadata, dict) else event).get("usage")
            if isinstance(usage, dict) and "inputTokens" in usage:
                self._nova = usage
        except ValueError as e:
            self.found.malformed(e)

    def _settle(self, *, whole: bool) -> None:
        """Puts together what the model, the metrics and the headers say; what an inner meter counted stands.

        Counts of a stream whose end has not come are partial.
        """
        found = self.found
        if self._inner is not None and found.usage is not None:
            return
        try:
            usage = self._usage()
        except ValueError as e:
            found.malformed(e)
            return
        if usage is not None and whole:
            found.partial = None
            found.count_usage(usage)
        elif usage is not None:
            found.partial = usage

    def _usage(self) -> Usage | None:
        """The totals so far; None where nothing is known. Raises ValueError where the counts are none."""
        if self._nova:
            # Where a guardrail steps in, Nova names its input alone.
            output = self._metrics.get("output", self._headers.get("output"))
            known = {} if output is None else {"outputTokens": output}
            return converse_usage({**known, **{n: value for n, value in self._nova.items() if value is not None}})
        counts = {**self._headers, **self._metrics, **self._own}
        if "input" not in counts and not self._units:
            return None
        read, written = counts.get("read", 0), counts.get("written", 0)
        return counted(
            self._units,
            input_tokens=counts.get("input", 0) + read + written,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=counts.get("output", 0),
        )

    def ending(self) -> bytes:
        """The end of a stream as if its cap were reached, in the model's own shape; empty where that is not known."""
        if self.found.finished:
            return b""
        if self._inner is not None:
            framing, self.found.framing = self.found.framing, SSE  # the one that the inner meter is fed with
            ending = self._inner.ending()
            self.found.framing = framing
            events = [fields(frame)[1] for frame in FrameScanner().feed(ending)]
            return b"".join(_chunk(data) for data in events if data.startswith(b"{"))
        seen = self.found.output_bytes // 4
        for name, last in _ENDINGS.items():
            if name in self._last:
                return b"".join(_chunk(json.dumps(event).encode()) for event in last(seen))
        return b""


_ENDINGS: dict[str, Callable[[int], list[Event]]] = {
    "generation": lambda seen: [{"generation": "", "generation_token_count": seen, "stop_reason": "length"}],
    "outputText": lambda seen: [
        {"outputText": "", "index": 0, "totalOutputTextTokenCount": seen, "completionReason": "LENGTH"}
    ],
    "outputs": lambda _: [{"outputs": [{"text": "", "stop_reason": "length"}]}],
    "completion": lambda _: [{"type": "completion", "completion": "", "stop_reason": "max_tokens"}],
    "contentBlockDelta": lambda seen: [
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "max_tokens"}},
        {"metadata": {"usage": {"inputTokens": 0, "outputTokens": seen}}},
    ],
}
"""How a stream ends at its cap, by a field that the family's chunks have."""


def _own_counts(event: Event) -> dict[str, int]:
    """The counts that a family other than Claude's, OpenAI's and Nova's names; raises ValueError where they are none."""
    counts: dict[str, int] = {}
    for field, name in OWN_COUNTS.items():
        if event.get(field) is not None:
            counts[name] = tokens(event, field)
    results = event.get("results")
    if isinstance(results, list) and any(isinstance(r, dict) and "tokenCount" in r for r in results):
        counts["output"] = sum(tokens(r, "tokenCount") for r in results if isinstance(r, dict))
    meta = event.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if isinstance(billed, dict):
        for field, name in (("input_tokens", "input"), ("output_tokens", "output")):
            if billed.get(field) is not None:
                counts[name] = tokens(billed, field)
    return counts


OWN_COUNTS = {
    "inputTextTokenCount": "input",  # Titan
    "totalOutputTextTokenCount": "output",
    "prompt_token_count": "input",  # Llama; in a stream a running total
    "generation_token_count": "output",
}


def _object(text: bytes) -> Event | None:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _sse(text: bytes) -> bytes:
    """A chunk as the server-sent event that its family's own API would send; line feeds in JSON are only space."""
    if text.find(b"\n") >= 0 or text.find(b"\r") >= 0:
        text = text.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"data: " + text + b"\n\n"


def _chunk(text: bytes) -> bytes:
    return event_message("chunk", {"bytes": base64.b64encode(text).decode()})


def _text_in(document: Event) -> int:
    """Bytes of text in an answer; vectors and images are none."""
    return sum(text_bytes(text) for text in strings({k: v for k, v in document.items() if k not in _NO_TEXT}))


_NO_TEXT = frozenset(
    ["embedding", "embeddings", "embeddingsByType", "images", "prompt", "texts", "amazon-bedrock-trace"]
)
