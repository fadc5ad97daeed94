"""Anthropic's Message Batches: created with all their requests, paid with their results.

Facts are from anthropic-sdk-python 2.12 (types/messages/batch_create_params.py, message_batch.py,
message_batch_individual_response.py): the results come as one JSON object a line, in any order, each with the message
and its usage; requests that failed, expired or were cancelled are not billed; everything else is, at the batch rates.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any
from urllib.parse import unquote

from wfb_core.bounds import BASE_TOKENS, TOOLS_PREAMBLE_TOKENS
from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import PENDING_RESULT, AnswerReader, Event, Found, open_reader
from wfb_core.dialects.anthropic_messages import AnthropicMessages, MessagesMeter, messages_facts
from wfb_core.dialects.request import Document, header, model_of, not_understood, parse, part_of
from wfb_core.usage import Usage

BATCH = "batch"
LINES = "application/x-jsonl"
_MESSAGES = AnthropicMessages()


class AnthropicBatches:
    """POST /v1/messages/batches and GET /v1/messages/batches/{id}/results."""

    name = "anthropic-batches"
    provider = "anthropic"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What all requests together ask for, or which batch's results; raises NotUnderstood."""
        if method == "GET":
            return self._poll(path, provider), {}
        document = parse(headers, body)
        asked: list[CallFacts] = []
        for request in part_of(document, "requests", list):
            params = request.get("params") if isinstance(request, dict) else None
            if not isinstance(params, dict):
                raise not_understood("requests holds an entry without params; send {custom_id, params} for each")
            asked.append(messages_facts(params, model_of(params), provider))
        if not asked:
            raise not_understood("requests is missing or empty; send at least one request")
        return self._together(asked, provider), document

    def _together(self, asked: list[CallFacts], provider: str) -> CallFacts:
        """The sum of requests, with what stands around each but the first counted as text."""
        models = dict.fromkeys(facts.model for facts in asked)
        unbounded = [name for facts in asked for name in facts.unbounded]
        if len(models) > 1:
            unbounded.append("several_models")
        caps = [facts.cap for facts in asked]
        around = BASE_TOKENS * (len(asked) - 1)
        around += TOOLS_PREAMBLE_TOKENS * max(0, sum(facts.tools > 0 for facts in asked) - 1)
        return CallFacts(
            dialect=self.name,
            provider=provider,
            operation="messages.batches",
            model=next(iter(models)),
            stream=False,
            cap=None if None in caps else sum(cap for cap in caps if cap is not None),
            tier=next((f"{BATCH}+{facts.tier}" for facts in asked if facts.tier), BATCH),
            input_bytes=sum(facts.input_bytes for facts in asked) + around,
            messages=sum(facts.messages for facts in asked),
            inputs=len(asked),
            tools=sum(facts.tools for facts in asked),
            media=tuple(medium for facts in asked for medium in facts.media),
            hidden_input=tuple(dict.fromkeys(name for facts in asked for name in facts.hidden_input)),
            unbounded=tuple(dict.fromkeys(unbounded)),
            cache_write=any(facts.cache_write for facts in asked),
            cache_write_1h=any(facts.cache_write_1h for facts in asked),
            reasoning=any(facts.reasoning for facts in asked),
        )

    def _poll(self, path: str, provider: str) -> CallFacts:
        parts = path.partition("?")[0].rstrip("/").removesuffix("/results")
        return CallFacts(
            dialect=self.name,
            provider=provider,
            operation="messages.batches.results",
            model="",
            stream=True,
            cap=0,
            tier=BATCH,
            polls=unquote(parts.rpartition("/")[2]),
        )

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: results tell their usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: a batch's requests have each their own cap."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks every request of another model."""
        for request in document.get("requests") or ():
            request["params"]["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the body names it."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; results come as lines whatever their type says."""
        del strip_usage_chunk
        headers = dict(headers or {})
        results = facts.polls is not None
        if results and not header(headers, "content-type").startswith("application/json"):
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers["content-type"] = LINES
        return open_reader(BatchMeter(facts), results, strip=False, headers=headers)

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Anthropic's error shape; see refusal.answer."""
        return _MESSAGES.refusal(reason, message, status, details, retry_after)


class BatchMeter:
    """Sums the usage of results by model."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._sums: dict[str | None, Usage] = {}
        self._malformed = False

    def frame(self, raw: bytes) -> bool:
        """Reads one result; never True."""
        _, event = self.found.event(raw)
        if event is not None:
            self.found.frames += 1
            self._result(event)
        return False

    def document(self, document: Any) -> None:
        """Reads the batch as created, or results of which there is only one."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
        elif "result" in document:
            self._result(document)
        else:
            if document.get("type") == "error":
                found.failed = True
            elif document.get("type") == "message_batch":
                found.finding = PENDING_RESULT
            if isinstance(document.get("id"), str):
                found.response_id = document["id"]

    def _result(self, event: Event) -> None:
        found = self.found
        if event.get("type") == "error":
            found.failed = True
            return
        result = event.get("result")
        if not isinstance(result, dict):
            return
        found.response_id, found.finished = self._facts.polls, True
        if result.get("type") == "succeeded":
            meter = MessagesMeter(self._facts)
            meter.document(result.get("message"))
            answer = meter.found
            found.output_bytes += answer.output_bytes
            if answer.usage is None:
                self._malformed = True
                found.malformed(answer.finding or "a result has no usage")
                return
            words = [word for word in (answer.tier or "").split("+") if word not in {"", "default", BATCH}]
            found.tier = "+".join([BATCH, *words])
            for model, usage in answer.parts or [(answer.served_model, answer.usage)]:
                self._sums[model] = _added(self._sums.get(model), usage)
        if not self._malformed:
            self._count()

    def _count(self) -> None:
        """Results whose usage cannot be read leave the batch without one: a sum without them would be too low."""
        total = Usage()
        for usage in self._sums.values():
            total = _added(total, usage)
        parts = list(self._sums.items())
        self.found.served_model = parts[0][0] if len(parts) == 1 else None
        self.found.tier = self.found.tier or BATCH
        self.found.count_usage(total, parts)

    def ending(self) -> bytes:
        """Empty: results have no other end than their own."""
        return b""


def _added(one: Usage | None, other: Usage) -> Usage:
    """The sum of two usages, class by class."""
    if one is None:
        return other
    units = dict(one.units)
    for name, count in other.units:
        units[name] = units.get(name, 0) + count
    names = [column.name for column in fields(Usage) if column.name != "units"]
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    return replace(one, **sums, units=tuple(sorted(units.items())))
