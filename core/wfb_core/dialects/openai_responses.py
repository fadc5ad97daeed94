"""OpenAI's Responses API.

Facts are from openai-python 3.54 (types/responses/response_create_params.py, response_input_item_param.py,
response_usage.py, tool_param.py): a stream ends with `response.completed`, `response.incomplete` or `response.failed`,
each with the whole response and its usage; cached, written and reasoning tokens are inside their totals;
`max_output_tokens` bounds reasoning too.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import (
    PENDING_RESULT,
    AnswerReader,
    Event,
    Found,
    counted,
    inner,
    open_reader,
    strings,
    tokens,
)
from wfb_core.dialects.openai_chat import (
    deployment_in,
    openai_refusal,
    read_cache_options,
    read_file,
    read_image,
    read_input_audio,
    read_tools,
    reported_cost,
    served_tier,
    tier_of,
)
from wfb_core.dialects.openai_images import image_usage
from wfb_core.dialects.request import Document, flag, model_of, parse, part_of, whole
from wfb_core.dialects.sse import fields
from wfb_core.dialects.tally import Part, Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "input",
        "tools",
        "prompt",
        "stream",
        "stream_options",
        "max_output_tokens",
        "max_tool_calls",
        "service_tier",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
        "temperature",
        "top_p",
        "parallel_tool_calls",
        "reasoning",
        "truncation",
        "include",
        "top_logprobs",
        "background",
        "background_options",
        "conversation",
        "previous_response_id",
        "context_management",
        "access_programs",
        "moderation",
        "image",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

BOUNDED_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch"})


RESPONSES, COMPACT, RETRIEVE = "responses", "responses.compact", "responses.retrieve"


class OpenAIResponses:
    """POST /v1/responses and /v1/responses/compact, GET /v1/responses/{id}."""

    name = "openai-responses"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        if method.upper() == "GET":
            return _poll(self.name, provider, path), {}
        document = parse(headers, body)
        deployed = deployment_in(path)
        model = model_of(document) if deployed is None or document.get("model") else deployed
        tally = Tally()
        given = document.get("input")
        items = given if isinstance(given, list) else [given]
        tally.messages = len(items) + (document.get("instructions") is not None)
        for item in items:
            tally.content(item, PARTS)
        read_tools(tally, part_of(document, "tools", list), BOUNDED_TOOLS)
        tally.rest(document, SILENT)
        _read_references(tally, document)
        if flag(document, "background"):
            tally.unbind("background")
        if document.get("context_management"):
            tally.unbind("compaction")
        if "-search-" in model or "deep-research" in model:
            tally.unbind("web_search")
        read_cache_options(tally, document)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=COMPACT if path.partition("?")[0].rstrip("/").endswith("/compact") else RESPONSES,
            model=model,
            stream=flag(document, "stream"),
            cap=whole(document, "max_output_tokens"),
            tier=tier_of(document),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            cache_write=tally.cache_write,
            cache_write_1h=tally.cache_write_1h,
            deployment=deployed is not None or provider == "azure",
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers the cap on output tokens to at most `cap`; False for polls and compactions, which have none."""
        if facts.signed or facts.operation != RESPONSES:
            return False
        asked = document.get("max_output_tokens")
        document["max_output_tokens"] = cap if asked is None else min(asked, cap)
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the body names."""
        document["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """An Azure deployment's name; None where the body names it."""
        return deployment_in(path)

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; there is no usage chunk to strip."""
        del strip_usage_chunk
        return open_reader(ResponsesMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


def _read_references(tally: Tally, document: Document) -> None:
    for name in ("previous_response_id", "conversation"):
        if document.get(name) is not None:
            tally.hide(name)
    if prompt := part_of(document, "prompt", dict):
        tally.hide("prompt")
        tally.content(prompt.get("variables"), PARTS)


def _input_image(tally: Tally, part: Part) -> Part:
    if part.get("file_id"):
        tally.add_media("image", "")
        tally.hide("file_id")
    return {**part, "image_url": None} if read_image(tally, part.get("image_url")) else part


def _image_call(tally: Tally, item: Part) -> Part:
    if isinstance(item.get("result"), str):
        tally.add_media("image", item["result"])
        return {**item, "result": None}
    return item


def _item_reference(tally: Tally, item: Part) -> Part:
    tally.hide("item_reference")
    return item


def _reasoning(tally: Tally, item: Part) -> Part:
    """Reasoning by its id alone: the provider adds what it has stored."""
    if not item.get("encrypted_content") and not item.get("content"):
        tally.hide("reasoning")
    return item


def _compaction(tally: Tally, item: Part) -> Part:
    tally.hide("compaction")
    return item


def _compaction_trigger(tally: Tally, item: Part) -> Part:
    tally.unbind("compaction")
    return item


def _more_tools(tally: Tally, item: Part) -> Part:
    """Tools that an item brings along."""
    tools = item.get("tools")
    if isinstance(tools, list):
        read_tools(tally, tools, BOUNDED_TOOLS)
    return {k: v for k, v in item.items() if k != "tools"}


PARTS = {
    "input_image": _input_image,
    "computer_screenshot": _input_image,
    "input_file": read_file,
    "input_audio": read_input_audio,
    "image_generation_call": _image_call,
    "item_reference": _item_reference,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "compaction_trigger": _compaction_trigger,
    "additional_tools": _more_tools,
    "tool_search_output": _more_tools,
}
"""Input items and content parts that are not, or not only, text."""


def responses_usage(counts: Mapping[str, Any]) -> tuple[Usage, dict[str, int]]:
    """(totals, extras) of a `usage` object; raises ValueError where its numbers are none."""
    read = inner(counts, "input_tokens_details")
    long_lived = tokens(inner(read, "cache_write_tokens_details"), "ttl_12h_tokens")
    usage = counted(
        input_tokens=tokens(counts, "input_tokens", required=True),
        cache_read_tokens=tokens(read, "cached_tokens"),
        cache_write_tokens=tokens(read, "cache_write_tokens"),
        cache_write_1h_tokens=long_lived,  # the dearer class, whatever its hours
        output_tokens=tokens(counts, "output_tokens", required=True),
        reasoning_tokens=tokens(inner(counts, "output_tokens_details"), "reasoning_tokens"),
        audio_input_tokens=tokens(read, "audio_tokens"),
        image_input_tokens=tokens(read, "image_tokens"),
    )
    return usage, {"cache_write_12h_tokens": long_lived} if long_lived else {}


WAITING = frozenset({"queued", "in_progress"})
"""States of a response whose result comes later: openai/types/responses/response_status.py."""
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALLS = re.compile(r"(web_search|file_search|code_interpreter|image_generation|computer|mcp)_call")
_DELTA = re.compile(rb'"delta"\s*:\s*"((?:[^"\\]++|\\.)*+)')
_TYPE = re.compile(rb'(?:event: ?|data: ?\{"type": ?")(response\.[a-z_.]+)')
_PASSING = (b".delta", b".done", b".added", b"ing", b"_call.completed", b".partial_image")
"""Ends of event names that tell nothing of usage (``ing``: searching, generating …)."""
MOST_KEPT = 1024 * 1024
"""Bytes of finished output items kept, for a stream that must be ended early."""


class ResponsesMeter:
    """Reads events, most of them by name alone."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._response: Event = {}
        self._items: list[bytes] = []
        self._kept = 0

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; never True."""
        named = _TYPE.match(raw)
        name = named[1] if named else b""
        if name.endswith(_PASSING):
            self.found.frames += 1
            if name.endswith(b".delta"):
                delta = _DELTA.search(raw)
                self.found.output_bytes += len(delta[1]) if delta else 0
            elif name == b"response.output_item.done" and self._kept + len(raw) <= MOST_KEPT:
                self._items.append(raw)
                self._kept += len(raw)
            return False
        self._parse(raw)
        return False

    def _parse(self, raw: bytes) -> None:
        found = self.found
        name, event = found.event(raw)
        if event is None:
            return
        found.frames += 1
        if name == "error":
            found.failed = True
        response = event.get("response")
        if isinstance(response, dict):
            if name in TERMINAL:
                found.finished = True
                self._about(response)
            else:
                self._response = response
                self._names(response)
        elif name.endswith(".delta") and isinstance(event.get("delta"), str):
            found.output_bytes += text_bytes(event["delta"])

    def document(self, document: Any) -> None:
        """Reads a whole response."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        output = document.get("output")
        self.found.output_bytes += sum(text_bytes(text) for text in strings(output))
        self._about(document)

    def _names(self, response: Event) -> None:
        found = self.found
        if isinstance(response.get("model"), str):
            found.served_model = response["model"]
        if isinstance(response.get("id"), str):
            found.response_id = response["id"]
        found.tier = served_tier(response.get("service_tier")) or found.tier

    def _about(self, response: Event) -> None:
        found = self.found
        self._names(response)
        if response.get("error") is not None or response.get("status") == "failed":
            found.failed = True
        if not (counts := response.get("usage")):
            status = response.get("status")
            if isinstance(status, str) and status in WAITING:
                found.finding = PENDING_RESULT
            return
        try:
            usage, extras = responses_usage(counts if isinstance(counts, dict) else {})
        except ValueError as e:
            found.malformed(e)
            return
        searches = _billed_searches(response)
        usage = replace(usage, units=(("web_searches", searches),)) if searches else usage
        drawn = _drawn(response)
        found.count_usage(usage, [(found.served_model, usage), drawn] if drawn else None)
        found.reported_nanos = reported_cost(counts)
        found.extras = {**extras, **_calls(response.get("output"))}

    def ending(self) -> bytes:
        """The event of a response that reached `max_output_tokens`, with the items that were finished."""
        if self.found.finished:
            return b""
        response = {
            "id": "resp_wfb",
            "object": "response",
            "created_at": 0,
            "model": self._facts.model,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            **self._response,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "error": None,
            "output": [item for item in map(_item, self._items) if item is not None],
            "usage": None,
        }
        event = {"type": "response.incomplete", "response": response, "sequence_number": self.found.frames}
        return b"event: response.incomplete\ndata: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _item(raw: bytes) -> Any:
    try:
        event = json.loads(fields(raw)[1])
    except (ValueError, RecursionError):
        return None
    return event.get("item") if isinstance(event, dict) else None


def _searches(output: Any) -> int:
    """How often the web was searched; opening or reading a page found costs no fee."""
    count = 0
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict) and item.get("type") == "web_search_call":
            action = item.get("action")
            count += not isinstance(action, dict) or action.get("type") in (None, "search")
    return count


def _billed_searches(response: Event) -> int:
    """Searches that are billed, by the provider's own count where it tells one."""
    try:
        told = inner(inner(response, "tool_usage"), "web_search").get("num_requests")
        return _searches(response.get("output")) if told is None else tokens({"num_requests": told}, "num_requests")
    except ValueError:
        return _searches(response.get("output"))


def _drawn(response: Event) -> tuple[str | None, Usage] | None:
    """(model, usage) of images that a hosted tool made, which stand beside the response's own counts; None without.

    Source: openai/types/responses/response.py, ToolUsageImageGen.
    """
    try:
        usage = image_usage(inner(inner(response, "tool_usage"), "image_gen"))
    except ValueError:
        return None
    if not usage.input_tokens and not usage.output_tokens:
        return None
    tools = response.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type") == "image_generation" and isinstance(tool.get("model"), str):
            return tool["model"], usage
    return DRAWS, usage


DRAWS = "gpt-image-1"
"""Who draws where the tool names no model: openai-python 1.109, types/responses/tool.py; 3.54 names no default."""


def _poll(dialect: str, provider: str, path: str) -> CallFacts:
    """A request that reads an earlier response again, perhaps as a stream."""
    plain, _, query = path.partition("?")
    name = unquote(plain.rstrip("/").rpartition("/")[2])
    stream = "true" in parse_qs(query).get("stream", ())
    return CallFacts(dialect, provider, RETRIEVE, "", stream=stream, cap=None, polls=name)


def _calls(output: Any) -> dict[str, int]:
    """How often each hosted tool was called: ``web_search_requests`` …; some are billed by the call."""
    kinds = (item.get("type") for item in output if isinstance(item, dict)) if isinstance(output, list) else ()
    calls = Counter(found[1] for kind in kinds if isinstance(kind, str) and (found := _CALLS.fullmatch(kind)))
    return {f"{name}_requests": count for name, count in calls.items()}
