"""Amazon Bedrock's Converse API: one shape for all of its models.

Facts are from botocore 1.44 (data/bedrock-runtime/2023-09-30: TokenUsage, CacheDetail, ConverseStreamOutput) and from
recorded answers: `inputTokens` leaves out what the cache read and wrote, which `totalTokens` proves; a stream is of AWS
event messages and tells its usage in `metadata`, its last one; no answer names the model that served it, but a prompt
router's trace does. What all of Bedrock's shapes share (paths, names of models, signatures, refusals) stands here too.
"""

import json
import re
from collections.abc import Mapping
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
    open_reader,
    strings,
    tokens,
)
from wfb_core.dialects.aws_event_stream import build, message
from wfb_core.dialects.request import (
    LONGEST_MODEL,
    Document,
    header,
    not_understood,
    parse,
    part_of,
    whole,
)
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "messages",
        "system",
        "toolConfig",
        "inferenceConfig",
        "guardrailConfig",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

_MODEL = re.compile(r"(/model/)(.+)(/(?:converse|converse-stream|invoke|invoke-with-response-stream)/?(?:\?.*)?)\Z")
DEPLOYMENTS = (
    ":application-inference-profile/",
    ":provisioned-model/",
    ":custom-model-deployment/",
    ":custom-model/",
    ":imported-model/",
    ":prompt-router/",
    ":default-prompt-router/",
    ":prompt/",
    ":endpoint/",
)
"""Kinds of resources whose names say nothing of the model behind them; other ARNs end with a model's own name."""


class BedrockConverse:
    """POST /model/{modelId}/converse and /model/{modelId}/converse-stream."""

    name = "bedrock-converse"
    provider = "aws"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        model = requested_model(path)
        document = parse(headers, body)
        tally = Tally()
        for turn in part_of(document, "messages", list):
            tally.messages += 1
            read_blocks(tally, turn)
        system = part_of(document, "system", list)
        tally.messages += len(system)
        read_blocks(tally, system)
        _read_tools(tally, part_of(part_of(document, "toolConfig", dict), "tools", list))
        tally.rest(document, SILENT)
        if document.get("promptVariables") is not None or ":prompt/" in model:
            tally.hide("prompt")
        extra = part_of(document, "additionalModelRequestFields", dict)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="converse-stream" if streams(path) else "converse",
            model=model,
            stream=streams(path),
            cap=whole(part_of(document, "inferenceConfig", dict), "maxTokens"),
            tier=_tier(document.get("serviceTier"), document.get("performanceConfig")),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            cache_write=tally.cache_write,
            cache_write_1h=tally.cache_write_1h,
            reasoning=thinks(extra),
            signed=is_signed(headers),
            deployment=is_deployment(model),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `inferenceConfig.maxTokens`; False where the body is signed or a thinking budget would not fit."""
        if facts.signed:
            return False
        if facts.cap is not None and facts.cap <= cap:
            return True
        if not fits_thinking(document.get("additionalModelRequestFields"), facts.cap, cap):
            return False
        document["inferenceConfig"] = {**(document.get("inferenceConfig") or {}), "maxTokens": cap}
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the path names; never to be used where the path is signed."""
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
        return open_reader(ConverseMeter(), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Bedrock's error shape; see bedrock_refusal."""
        return bedrock_refusal(reason, message, status, details, retry_after)


def model_in_path(path: str) -> str | None:
    """The model's id or ARN that a path names, decoded; None where it names none."""
    found = _MODEL.search(path)
    return unquote(found[2]) if found else None


def requested_model(path: str) -> str:
    """The same; raises NotUnderstood where the path names none or something too long to be a name."""
    model = (model_in_path(path) or "").strip()
    if not model:
        raise not_understood("the path names no model; ask /model/{modelId}/converse or /model/{modelId}/invoke")
    if len(model) > LONGEST_MODEL:
        raise not_understood(f"the model in the path is longer than {LONGEST_MODEL} characters; name a model")
    return model


def path_with_model(path: str, model: str) -> str:
    """The path with another model in it; unchanged where it names none."""
    return _MODEL.sub(lambda found: f"{found[1]}{quote(model, safe='')}{found[3]}", path)


def streams(path: str) -> bool:
    """Whether a path asks for a stream."""
    return path.partition("?")[0].rstrip("/").endswith("-stream")


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether AWS Signature Version 4 covers the request; an API key (``Bearer``) covers nothing."""
    return header(headers, "authorization").startswith("aws4-")


def is_deployment(model: str) -> bool:
    """Whether a requested model is the ARN of something that hides the model behind it."""
    return model.startswith("arn:") and any(kind in model for kind in DEPLOYMENTS)


def thinks(fields: Mapping[str, Any]) -> bool | None:
    """Whether fields of a model's own ask for reasoning; None where they do not say."""
    for name in ("thinking", "reasoning_config", "reasoningConfig"):
        value = fields.get(name)
        if isinstance(value, dict):
            return value.get("type") != "disabled"
    effort = fields.get("reasoning_effort")
    return effort != "none" if isinstance(effort, str) else None


def fits_thinking(fields: Any, asked: int | None, cap: int) -> bool:
    """Whether a thinking budget stays below a lower cap; one that was not below the old one is no obstacle."""
    for name in ("thinking", "reasoning_config"):
        thinking = fields.get(name) if isinstance(fields, dict) else None
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        if isinstance(budget, int) and cap <= budget and (asked is None or budget < asked):
            return False
    return True


MEDIA = {"image": "image", "video": "video", "audio": "audio", "document": "document"}


def read_blocks(tally: Tally, value: Any) -> None:
    """Counts content blocks: an object with one key, which names what it holds. Without recursion."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            tally.size += 2 * len(value)
            stack.extend(value)
        elif isinstance(value, dict):
            for key, inside in value.items():
                if key in MEDIA and isinstance(inside, dict) and "source" in inside:
                    stack.append(_without_payload(tally, MEDIA[key], inside))
                elif key == "cachePoint":
                    tally.cached(inside)
                elif key in {"toolUse", "json"}:
                    tally.text(inside)  # a tool's arguments and results are text, whatever they look like
                else:
                    tally.size += 6 + text_bytes(key)
                    stack.append(inside)
        elif value is not None:
            tally.text(value)


def _without_payload(tally: Tally, kind: str, part: Mapping[str, Any]) -> Any:
    """Notes the payload of a media block; returns what of it is text."""
    source = part["source"]
    if not isinstance(source, dict):
        return part
    if isinstance(source.get("bytes"), str):
        tally.add_media(kind, source["bytes"])
    elif source.get("s3Location") is not None:
        tally.add_media(kind, "")
        tally.hide("s3_location")
    rest = {name: value for name, value in source.items() if name not in {"bytes", "s3Location"}}
    return [rest, {name: value for name, value in part.items() if name != "source"}]


def _read_tools(tally: Tally, tools: list[Any]) -> None:
    for tool in tools:
        if isinstance(tool, dict) and "cachePoint" in tool:
            tally.cached(tool["cachePoint"])
            continue
        tally.tools += 1
        tally.text(tool)
        if not isinstance(tool, dict) or "toolSpec" not in tool:
            tally.unbind("system_tool")


def _tier(service: Any, performance: Any) -> str | None:
    """What makes a call dearer or cheaper than the standard one: ``priority``, ``flex``, ``reserved``, ``optimized``."""
    return tier_named(
        service.get("type") if isinstance(service, dict) else None,
        performance.get("latency") if isinstance(performance, dict) else None,
    )


def tier_named(service: Any, latency: Any) -> str | None:
    """The same from the two words, joined by ``+``; None for the standard one."""
    words = [word for word in (service, latency) if isinstance(word, str) and word not in {"", "default", "standard"}]
    return "+".join(words) or None


ERRORS = {
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
}


def bedrock_refusal(
    reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None
) -> refusals.Refusal:
    """A refusal whose class is told in `x-amzn-errortype`, the budget in `budget`; see refusal.answer.

    An exhausted budget is a 400 ServiceQuotaExceededException: boto3 raises it typed after one attempt, where it tries
    three times whatever comes with a 429. Pacing is told in milliseconds in `x-amz-retry-after`.
    """
    if refusals.code(reason, status, retry_after) == "budget_exceeded":
        status, error = 400, "ServiceQuotaExceededException"
    else:
        error = ERRORS.get(status, "ValidationException" if status < 500 else "InternalServerException")
    body = {"message": message, "budget": refusals.budget_object(reason, details)}
    status, headers, text = refusals.answer(status, reason, details, retry_after, body)
    headers["x-amzn-errortype"] = error
    if retry_after is not None:
        headers["x-amz-retry-after"] = headers["retry-after-ms"]
    return status, headers, text


def converse_usage(counts: Mapping[str, Any]) -> Usage:
    """Totals of a `usage` object; raises ValueError where its numbers are none.

    The cache's tokens are beside `inputTokens`, unless `totalTokens` says that they are inside.
    """
    fresh = tokens(counts, "inputTokens", required=True)
    output = tokens(counts, "outputTokens")
    read = tokens(counts, "cacheReadInputTokens") or tokens(counts, "cacheReadInputTokenCount")
    written = tokens(counts, "cacheWriteInputTokens") or tokens(counts, "cacheWriteInputTokenCount")
    inside = bool(read + written) and tokens(counts, "totalTokens") == fresh + output
    details = counts.get("cacheDetails")
    hours = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    return counted(
        input_tokens=fresh if inside else fresh + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(tokens(d, "inputTokens") for d in hours if d.get("ttl") == "1h"),
        output_tokens=output,
    )


_DELTA = b"\x0b:event-type\x07\x00\x11contentBlockDelta"
_TEXT = re.compile(rb'"(?:text|input|data)"\s*:\s*"((?:[^"\\]++|\\.)*+)')
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+')
_PLAIN = b'"delta":{"text":"'
_INDEX = re.compile(rb'"contentBlockIndex"\s*:\s*(\d{1,9})(?=([,}]))')


class ConverseMeter:
    """Reads a stream's messages; of text only its length."""

    def __init__(self) -> None:
        self.found = Found()
        self._open: dict[int, None] = {}
        self._mark = b"\n"  # how the block that is under way is named in its deltas
        self._stopped = False

    def frame(self, raw: bytes) -> bool:
        """Reads one message; never True."""
        found = self.found
        if raw.find(_DELTA, 0, 256) >= 0:
            found.frames += 1
            plain = raw.find(_PLAIN)
            if plain >= 0:
                start = plain + len(_PLAIN)
                found.output_bytes += _STRING.match(raw, start).end() - start  # type: ignore[union-attr]  # matches empty
            else:
                found.output_bytes += sum(len(text[1]) for text in _TEXT.finditer(raw))
            if raw.find(self._mark) < 0 and (index := _INDEX.search(raw)):
                self._mark = index[0] + index[2]
                self._open[int(index[1])] = None
            return False
        name, event = read_event(found, raw)
        if event is not None:
            found.frames += 1
            self._read(name, event)
        return False

    def _read(self, name: str, event: Event) -> None:
        found = self.found
        match name:
            case "contentBlockStart":
                if isinstance(event.get("contentBlockIndex"), int):
                    self._open[event["contentBlockIndex"]] = None
                found.output_bytes += sum(text_bytes(text) for text in strings(event.get("start")))
            case "contentBlockStop":
                self._mark = b"\n"
                if isinstance(event.get("contentBlockIndex"), int):
                    self._open.pop(event["contentBlockIndex"], None)
            case "messageStop":
                self._stopped = True
            case "metadata":
                self._about(event)
                found.finished = True
            case _:
                pass  # the message's start, and events not yet known

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        if "output" not in document and "message" in document:
            self.found.failed = True
        self.found.output_bytes += sum(text_bytes(text) for text in strings(document.get("output")))
        self._about(document)

    def _about(self, answer: Event) -> None:
        found = self.found
        if isinstance(answer.get("serviceTier"), dict) or isinstance(answer.get("performanceConfig"), dict):
            found.tier = _tier(answer.get("serviceTier"), answer.get("performanceConfig")) or DEFAULT_TIER
        if (counts := answer.get("usage")) is not None:
            try:
                found.count_usage(converse_usage(counts if isinstance(counts, dict) else {}))
            except ValueError as e:
                found.malformed(e)
        trace = answer.get("trace")
        router = trace.get("promptRouter") if isinstance(trace, dict) else None
        if isinstance(router, dict) and isinstance(router.get("invokedModelId"), str):
            found.served_model = router["invokedModelId"].rpartition("/")[2]

    def ending(self) -> bytes:
        """The ends of every open block, the message's stop for its cap, and the usage as far as it is known."""
        if self.found.finished:
            return b""
        events: list[tuple[str, Event]] = []
        if not self._stopped:
            events.extend(("contentBlockStop", {"contentBlockIndex": index}) for index in self._open)
            events.append(("messageStop", {"stopReason": "max_tokens"}))
        seen = self.found.output_bytes // 4
        usage = {"inputTokens": 0, "outputTokens": seen, "totalTokens": seen}
        events.append(("metadata", {"usage": usage, "metrics": {"latencyMs": 0}}))
        return b"".join(event_message(name, event) for name, event in events)


def event_message(name: str, event: Event) -> bytes:
    """An event as an AWS event message."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return build(headers, json.dumps(event, separators=(",", ":")).encode())


def read_event(found: Found, raw: bytes) -> tuple[str, Event | None]:
    """(event's type, payload) of a message; None where it holds no object, or an exception, which marks the failure.

    A frame of another framing (a gateway that turned the messages into server-sent events) is read as such.
    """
    try:
        headers, payload = message(raw)
    except ValueError:
        return found.event(raw)
    if headers.get(":message-type") in {"exception", "error"}:
        found.failed = True
        found.frames += 1
        return "", None
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        found.broken()
        return "", None
    return headers.get(":event-type", ""), event
