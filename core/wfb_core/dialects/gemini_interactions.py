"""Google's Interactions API.

Facts are from google-genai 3.4 (_gaos/types/interactions: createmodelinteraction.py, interaction.py, usage.py and the
events beside them): what tools put in and what the model thought stand beside the totals of input and output; a stream
tells its usage in `interaction.completed`, running totals before that with its steps; one asked for in the background
answers without usage and is read again by its id.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import PENDING_RESULT, AnswerReader, Event, Found, open_reader, strings, tokens
from wfb_core.dialects.framing import SSE
from wfb_core.dialects.gemini_generate import Totals, billed_searches, google_refusal, modalities, served_tier
from wfb_core.dialects.request import Document, flag, named, not_understood, parse, part_of, whole
from wfb_core.dialects.tally import Part, Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "agent",
        "input",
        "system_instruction",
        "tools",
        "generation_config",
        "stream",
        "background",
        "store",
        "labels",
        "service_tier",
        "safety_settings",
        "response_modalities",
        "response_mime_type",
        "previous_interaction_id",
        "environment",
        "webhook_config",
        "agent_config",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""

HOSTED_TOOLS = (
    "google_search",
    "google_maps",
    "url_context",
    "code_execution",
    "file_search",
    "retrieval",
    "computer_use",
    "mcp_server",
)
WAITING = frozenset({"in_progress", "queued"})
"""States of an interaction whose usage is still to come."""


class GeminiInteractions:
    """POST /interactions and GET /interactions/{id}."""

    name = "gemini-interactions"
    provider = "google"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        if method == "GET":
            return self._poll(path, provider), {}
        document = parse(headers, body)
        model, agent = named(document, "model"), named(document, "agent")
        asked = (model or agent or "").removeprefix("models/")
        if not asked or len(asked) > LONGEST_NAME:
            raise not_understood("model and agent are missing, empty or too long; name one of them in the body")
        tally = Tally()
        if not model:
            tally.unbind("agent")
        _read_input(tally, document)
        for name in ("previous_interaction_id", "environment"):
            if document.get(name) is not None:
                tally.hide(name)
        if flag(document, "background"):
            tally.unbind("background")
        config = part_of(document, "generation_config", dict)
        tier = served_tier(named(document, "service_tier"))
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="interactions",
            model=asked,
            stream=flag(document, "stream"),
            cap=whole(config, "max_output_tokens"),
            tier=None if tier == "default" else tier,
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            reasoning=True if config.get("thinking_level") is not None else None,
        )
        return facts, document

    def _poll(self, path: str, provider: str) -> CallFacts:
        path, _, query = path.partition("?")
        return CallFacts(
            dialect=self.name,
            provider=provider,
            operation="interactions.get",
            model="",
            stream="stream=true" in query.lower().split("&"),
            cap=0,
            polls=unquote(path.rstrip("/").rpartition("/")[2]),
        )

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `max_output_tokens`; False where an agent answers, whose work no request bounds."""
        if facts.signed or facts.polls is not None or "agent" in facts.unbounded:
            return False
        config = dict(document.get("generation_config") or {})
        asked = config.get("max_output_tokens")
        config["max_output_tokens"] = cap if asked is None else min(asked, cap)
        document["generation_config"] = config
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the body names; an agent stays."""
        if document.get("model"):
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
        return open_reader(InteractionMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Google's error shape; see refusal.answer."""
        return google_refusal(reason, message, status, details, retry_after)


LONGEST_NAME = 512


def _read_input(tally: Tally, document: Document) -> None:
    given = document.get("input")
    for content in given if isinstance(given, list) else [given]:
        tally.messages += 1
        tally.content(content, PARTS)
    if document.get("system_instruction") is not None:
        tally.messages += 1
        tally.content(document["system_instruction"], PARTS)
    for tool in part_of(document, "tools", list):
        tally.tools += 1
        tally.text(tool)
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            known = (name for name in HOSTED_TOOLS if name == kind)
            tally.unbind(next(known, "unknown_tool"))
    tally.rest(document, SILENT)


def _medium(tally: Tally, part: Part) -> Part:
    """An image, recording, film or document: data in base64, or an address."""
    kind, data = str(part.get("type")), part.get("data")
    if isinstance(data, str):
        tally.add_media(kind, data)
        return {**part, "data": None}
    if part.get("uri") is not None:
        tally.add_media(kind, "")
        tally.hide(f"{kind}_url")
    return part


PARTS = {"image": _medium, "audio": _medium, "video": _medium, "document": _medium}
"""Contents that are not text."""


def interaction_usage(counts: Mapping[str, Any], model: str) -> Usage:
    """Totals of a `usage` object; raises ValueError where its numbers are none."""
    thoughts = "total_thought_tokens"
    if counts.get(thoughts) is None:
        thoughts = "total_reasoning_tokens"  # the name before version 2
    total = counts.get("total_tokens")
    output = counts.get("total_output_tokens")
    totals = Totals.checked(
        prompt=tokens(counts, "total_input_tokens"),
        tool=tokens(counts, "total_tool_use_tokens"),
        output=None if output is None else tokens(counts, "total_output_tokens"),
        thoughts=tokens(counts, thoughts),
        cached=tokens(counts, "total_cached_tokens"),
        total=None if total is None else tokens(counts, "total_tokens"),
    )
    searches = 0
    grounded = counts.get("grounding_tool_count")
    for entry in grounded if isinstance(grounded, list) else ():
        if isinstance(entry, dict) and entry.get("type") == "google_search":
            searches += tokens(entry, "count")
    return totals.usage(
        modalities(_capital(counts, "input_tokens_by_modality", "tool_use_tokens_by_modality"), "all"),
        modalities(_capital(counts, "cached_tokens_by_modality"), "all"),
        modalities(_capital(counts, "output_tokens_by_modality"), "all"),
        {"web_searches": billed_searches(searches, model)},
    )


def _capital(counts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The entries of lists of {modality, tokens} as generateContent spells them."""
    lists = (value for name in names if isinstance(value := counts.get(name), list))
    known = (entry for entries in lists for entry in entries if isinstance(entry, dict))
    entries = [
        {"modality": entry["modality"].upper(), "tokenCount": entry.get("tokens")}
        for entry in known
        if isinstance(entry.get("modality"), str)
    ]
    return {"all": entries}


class InteractionMeter:
    """Reads events; of text only its length."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; never True."""
        found = self.found
        name, event = found.event(raw)
        if event is None:
            return False
        found.frames += 1
        kind = event.get("event_type")
        name = kind if isinstance(kind, str) else name
        if name == "error" or event.get("error") is not None:
            found.failed = True
        interaction = event.get("interaction")
        if isinstance(interaction, dict):
            if name in {"interaction.completed", "interaction.complete"}:
                found.finished = True
            self._interaction(interaction)
        if isinstance(event.get("interaction_id"), str):
            found.response_id = event["interaction_id"]
        if event.get("status") == "failed":
            found.failed = True
        metadata = event.get("metadata")
        if isinstance(metadata, dict) and not found.finished:
            self._partial(metadata.get("total_usage"))
        for part in ("delta", "step", "content"):
            found.output_bytes += sum(text_bytes(text) for text in _texts(event.get(part)))
        return False

    def document(self, document: Any) -> None:
        """Reads a whole interaction; one that is still under way is a result to come."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        found.finished = True
        if document.get("error") is not None:
            found.failed = True
        self._interaction(document)
        for part in ("steps", "outputs"):
            found.output_bytes += sum(text_bytes(text) for text in _texts(document.get(part)))

    def _interaction(self, interaction: Event) -> None:
        found = self.found
        served = interaction.get("model") or interaction.get("agent")
        if isinstance(served, str):
            found.served_model = served.removeprefix("models/")
        if isinstance(interaction.get("id"), str) and interaction["id"]:
            found.response_id = interaction["id"]
        found.tier = served_tier(interaction.get("service_tier")) or found.tier
        status = interaction.get("status")
        if status == "failed":
            found.failed = True
        waiting = isinstance(status, str) and status in WAITING
        counts = interaction.get("usage")
        if not isinstance(counts, dict) or (waiting and not counts):
            if counts is not None and not isinstance(counts, dict):
                found.malformed("usage is no object")
            elif waiting and found.finished:
                found.finding = PENDING_RESULT
            return
        if waiting:
            self._partial(counts)
            if found.finished:
                found.finding = PENDING_RESULT
            return
        try:
            usage = interaction_usage(counts, found.served_model or self._facts.model)
        except ValueError as e:
            found.malformed(e)
            return
        found.partial = None
        found.count_usage(usage)

    def _partial(self, counts: Any) -> None:
        """Running totals that the end will replace; nonsense among them says nothing."""
        if isinstance(counts, dict) and counts:
            try:
                self.found.partial = interaction_usage(counts, self.found.served_model or self._facts.model)
            except ValueError:
                return

    def ending(self) -> bytes:
        """An interaction that ends incomplete, with the counts so far."""
        found = self.found
        if found.finished or found.framing != SSE:
            return b""
        into = found.partial.input_tokens if found.partial else 0
        made = max(found.partial.output_tokens if found.partial else 0, found.output_bytes // 4)
        usage = {"total_input_tokens": into, "total_output_tokens": made, "total_tokens": into + made}
        interaction = {
            "id": found.response_id or "wfb",
            "model": found.served_model or self._facts.model,
            "object": "interaction",
            "status": "incomplete",
            "usage": usage,
        }
        event = {"event_type": "interaction.completed", "interaction": interaction}
        data = json.dumps(event, separators=(",", ":"))
        return f"event: interaction.completed\ndata: {data}\n\n".encode()


_UNSEEN = frozenset({"type", "data", "signature", "thought_signature"})


def _texts(value: Any) -> "list[str]":
    """The strings of an answer's part without media in base64 and signatures."""
    found: list[str] = []
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(inside for name, inside in value.items() if name not in _UNSEEN)
        elif isinstance(value, list):
            stack.extend(value)
        else:
            found.extend(strings(value))
    return found
