"""Google's generative models over gRPC: Vertex AI's PredictionService and the Gemini API's GenerativeService.

Field numbers are from github.com/googleapis/googleapis (google/cloud/aiplatform/v1 and v1beta1: prediction_service,
content, tool, usage_metadata; google/ai/generativelanguage/v1beta: generative_service, content) as generated into
google-cloud-aiplatform 2.7 and google-ai-generativelanguage 0.12. What the counts mean is as in the JSON forms: the
prompt includes the cached part, thoughts and the results of tools stand beside, `total_token_count` proves it, a
stream's counts are running totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import DEFAULT_TIER, AnswerReader, Found, counted
from wfb_core.dialects.grpc_messages import MessageReader, grpc_refusal, request_message
from wfb_core.dialects.protobuf import Value, fields, gathered, messages, number, text
from wfb_core.dialects.request import LONGEST_MODEL, Document, not_understood
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage


@dataclass(frozen=True, slots=True)
class Service:
    """The numbers of one service's fields; those that both have in common are named below."""

    model: int
    tools: int
    cap: int
    candidate_count: int
    parts: int
    inline_data: int
    file_data: int
    candidates: int
    finish_reason: int
    usage: int
    model_version: int
    response_id: int
    thoughts: int
    tool_use: int
    cached: int
    prompt_details: int
    cache_details: int
    candidates_details: int
    tool_details: int
    traffic: int
    functions_only: frozenset[int] = frozenset({1})


VERTEX = Service(
    model=5,
    tools=6,
    cap=5,
    candidate_count=4,
    parts=2,
    inline_data=2,
    file_data=3,
    candidates=2,
    finish_reason=3,
    usage=4,
    model_version=11,
    response_id=13,
    thoughts=14,
    tool_use=13,
    cached=5,
    prompt_details=9,
    cache_details=10,
    candidates_details=11,
    tool_details=12,
    traffic=8,
)
GEMINI = Service(
    model=1,
    tools=5,
    cap=4,
    candidate_count=1,
    parts=1,
    inline_data=3,
    file_data=6,
    candidates=1,
    finish_reason=2,
    usage=3,
    model_version=4,
    response_id=5,
    thoughts=10,
    tool_use=8,
    cached=4,
    prompt_details=5,
    cache_details=6,
    candidates_details=7,
    tool_details=9,
    traffic=0,
)
CONTENTS, GENERATION_CONFIG, SYSTEM, CACHED_CONTENT = 2, 4, 8, 9
"""Fields of GenerateContentRequest in both services."""
PROMPT, CANDIDATES, TOTAL = 1, 2, 3
"""Fields of UsageMetadata in both."""
MODALITIES = {2: "image", 3: "image", 4: "audio"}
"""Values of Modality that have rates of their own: images, video and audio."""
TRAFFIC = {1: DEFAULT_TIER, 2: "provisioned_throughput", 3: "priority", 4: "flex"}
METHODS = ("GenerateContent", "StreamGenerateContent")


class GrpcVertex:
    """POST /google.cloud.aiplatform.v1.PredictionService/GenerateContent and its siblings, in application/grpc."""

    name = "grpc-vertex"
    provider = "google"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and an empty document: its body is sent as it came; raises NotUnderstood."""
        del method
        operation, service = _operation(path)
        if service is None:
            raise not_understood("the path is no method of Google's gRPC API that is metered; use GenerateContent")
        try:
            request = gathered(request_message(headers, body))
            named = text(request, service.model) or ""
            configs = messages(request, GENERATION_CONFIG)
            config = gathered(configs[-1]) if configs else {}
            cap = number(config, service.cap) if service.cap in config else None
            choices = number(config, service.candidate_count)
            tally = Tally()
            _read_input(tally, request, service)
        except ValueError as e:
            raise not_understood("the body is no message of Protocol Buffers; send what the service declares") from e
        model = named.rpartition("/")[2]
        if not model:
            raise not_understood("model is missing or empty; name the model in the request")
        if len(model) > LONGEST_MODEL:
            raise not_understood(f"model is longer than {LONGEST_MODEL} characters; name a model")
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=operation,
            model=model,
            stream=operation.endswith(METHODS[1]),
            cap=cap or None,
            choices=max(1, choices),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            signed=True,  # nothing covers the body, but nothing of ours writes Protocol Buffers either
            deployment="endpoints/" in named or "tunedModels/" in named,
        )
        return facts, {}

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: an answer tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """True where the cap is low enough already; else False: the body is not rewritten."""
        del document
        return facts.cap is not None and facts.cap <= cap

    def with_model(self, document: Document, path: str, model: str) -> str:
        """The path as it is: the body, which names the model, is not rewritten."""
        del document, model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the body names it."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del strip_usage_chunk
        _, service = _operation(facts.operation)
        return MessageReader(VertexMeter(service or VERTEX), facts.stream, headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal as a gRPC status; see grpc_refusal."""
        return grpc_refusal(reason, message, status, details, retry_after)


def _operation(path: str) -> tuple[str, Service | None]:
    """(service and method, numbers of its fields) of a path; None where it is not metered."""
    operation = "/".join(path.partition("?")[0].rstrip("/").split("/")[-2:])
    name, _, method = operation.partition("/")
    if method not in METHODS:
        return operation, None
    if name.startswith("google.cloud.aiplatform.v1") and name.endswith(".PredictionService"):
        return operation, VERTEX
    if name.startswith("google.ai.generativelanguage.v1") and name.endswith(".GenerativeService"):
        return operation, GEMINI
    return operation, None


def _read_input(tally: Tally, request: dict[int, list[Value]], service: Service) -> None:
    """Counts contents, the system's instruction and tools; every byte of them, but for media, as text."""
    for content in [*messages(request, CONTENTS), *messages(request, SYSTEM)]:
        tally.messages += 1
        tally.size += wire_text(content)
        for part in messages(gathered(content), service.parts):
            held = gathered(part)
            for blob in messages(held, service.inline_data):
                inside = gathered(blob)
                kind = (text(inside, 1) or "").partition("/")[0]
                for data in messages(inside, 2):
                    tally.media.append((kind if kind in {"image", "audio", "video"} else "document", len(data)))
                    tally.size -= len(data)
            for file in messages(held, service.file_data):
                kind = (text(gathered(file), 1) or "").partition("/")[0]
                tally.add_media(kind if kind in {"image", "audio", "video"} else "document", "")
                tally.hide("file_uri")
    for tool in messages(request, service.tools):
        tally.tools += 1
        tally.size += wire_text(tool)
        if not gathered(tool).keys() <= service.functions_only:
            tally.unbind("hosted_tool")
    if CACHED_CONTENT in request:
        tally.hide("cached_content")


def wire_text(value: bytes) -> int:
    """The size of a message as text: never less than that of the strings in it."""
    return text_bytes(value.decode("utf-8", "replace"))


class VertexMeter:
    """Reads messages; counts are running totals, so only the last are decoded."""

    def __init__(self, service: Service) -> None:
        self.found = Found()
        self._service = service
        self._counts = self._id = self._model = b""

    def message(self, message: bytes) -> None:
        """Reads a whole answer or a chunk; raises ValueError where its bytes are none."""
        service = self._service
        for field, value in fields(message):
            if not isinstance(value, bytes):
                continue
            if field == service.candidates:
                self._candidate(value)
            elif field == service.usage:
                self._counts = value or self._counts
            elif field == service.model_version:
                self._model = value or self._model
            elif field == service.response_id:
                self._id = value or self._id

    def _candidate(self, candidate: bytes) -> None:
        self.found.output_bytes += len(candidate)
        for field, value in fields(candidate):
            if field == self._service.finish_reason and value:
                self.found.finished = True

    def settle(self, whole: bool) -> None:
        """Decodes the last counts; raises ValueError where their bytes are none."""
        found, service = self.found, self._service
        found.response_id = self._id.decode("utf-8", "replace") or None
        found.served_model = self._model.decode("utf-8", "replace") or None
        if not self._counts:
            return
        counts = gathered(self._counts)
        usage = usage_metadata(counts, service)
        traffic = number(counts, service.traffic) if service.traffic else 0
        found.tier = TRAFFIC.get(traffic)
        if whole:
            found.count_usage(usage)
        else:
            found.partial = usage


def usage_metadata(counts: dict[int, list[Value]], service: Service) -> Usage:
    """Totals of a UsageMetadata message; raises ValueError where its numbers are none."""
    prompt, candidates, total = (number(counts, field) for field in (PROMPT, CANDIDATES, TOTAL))
    thoughts = number(counts, service.thoughts)
    tools = number(counts, service.tool_use) or sum(_modalities(counts, service.tool_details).values())
    if total and total < prompt + candidates + thoughts + tools:
        # The total says what is inside: first whether thoughts are inside the candidates, then tools in the prompt.
        if total == prompt + candidates + tools:
            candidates -= min(thoughts, candidates)
        elif total == prompt + candidates + thoughts:
            prompt -= min(tools, prompt)
    elif total and not tools:
        tools = total - prompt - candidates - thoughts  # v1beta1 has no field for what tools put into the prompt
    prompt_parts = _modalities(counts, service.prompt_details)
    tool_parts = _modalities(counts, service.tool_details)
    cached_parts = _modalities(counts, service.cache_details)
    output_parts = _modalities(counts, service.candidates_details)
    return counted(
        input_tokens=prompt + tools,
        cache_read_tokens=number(counts, service.cached),
        output_tokens=candidates + thoughts,
        reasoning_tokens=thoughts,
        audio_input_tokens=prompt_parts.get("audio", 0) + tool_parts.get("audio", 0),
        image_input_tokens=prompt_parts.get("image", 0) + tool_parts.get("image", 0),
        audio_cache_read_tokens=cached_parts.get("audio", 0),
        image_cache_read_tokens=cached_parts.get("image", 0),
        audio_output_tokens=output_parts.get("audio", 0),
        image_output_tokens=output_parts.get("image", 0),
    )


def _modalities(counts: dict[int, list[Value]], field: int) -> dict[str, int]:
    """Tokens by modality of a list of ModalityTokenCount."""
    found: dict[str, int] = {}
    for part in messages(counts, field):
        entry = gathered(part)
        kind = MODALITIES.get(number(entry, 1), "text")
        found[kind] = found.get(kind, 0) + number(entry, 2)
    return found
