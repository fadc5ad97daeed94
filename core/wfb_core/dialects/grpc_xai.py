"""xAI's gRPC API, which its own SDK speaks.

Field numbers are from github.com/xai-org/xai-proto (proto/xai/api/v1: chat, sample, usage, image, embed, deferred);
recorded answers show that `total_tokens` is prompt, completion and reasoning together, so reasoning is beside the
completion, that images are inside the prompt, that a stream's usage is a running total, empty in some chunks, and that
the cached tokens, summed over the turns of hosted tools, can exceed the prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Found, counted
from wfb_core.dialects.grpc_messages import MessageReader, grpc_refusal, request_message
from wfb_core.dialects.protobuf import Value, fields, gathered, messages, number, numbers, text
from wfb_core.dialects.request import LONGEST_MODEL, Document, not_understood
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage


@dataclass(frozen=True, slots=True)
class Method:
    """Where one method's request and answer keep what counts: numbers of fields, 0 where they have none."""

    request_model: int = 2
    prompts: int = 1
    cap: int = 0
    choices: int = 0
    polls: int = 0
    """An id of an earlier answer that the request reads again."""
    stream: bool = False
    answer_id: int = 1
    answer_model: int = 6
    usage: int = 9
    outputs: int = 2
    finish: int = 0
    """In an output: the reason why it ended."""
    nested: int = 0
    """Where the answer is inside another message."""
    images: int = 0


_CHAT = Method(cap=7, choices=8, finish=1)
_STORED = Method(request_model=0, prompts=0, polls=1, finish=1)
METHODS: Mapping[str, Method] = {
    "xai_api.Chat/GetCompletion": _CHAT,
    "xai_api.Chat/GetCompletionChunk": Method(cap=7, choices=8, stream=True, answer_model=4, usage=6, finish=3),
    "xai_api.Chat/StartDeferredCompletion": Method(cap=7, choices=8, answer_model=0, usage=0, outputs=0),
    "xai_api.Chat/GetDeferredCompletion": Method(request_model=0, prompts=0, polls=1, finish=1, nested=1),
    "xai_api.Chat/GetStoredCompletion": _STORED,
    "xai_api.Sample/SampleText": Method(request_model=3, cap=7, choices=8, finish=1),
    "xai_api.Sample/SampleTextStreaming": Method(request_model=3, cap=7, choices=8, finish=1, stream=True),
    "xai_api.Image/GenerateImage": Method(answer_id=0, answer_model=2, usage=3, outputs=0, images=1, choices=3),
    "xai_api.Embedder/Embed": Method(answer_model=4, usage=0, outputs=0),
}
"""By the last two segments of the path."""

MESSAGES, TOOLS, SEARCH, PREVIOUS, AGENTS, REASONING = 1, 17, 20, 22, 29, 19
"""Fields of GetCompletionsRequest."""
CONTENT, IMAGE, FILE = 1, 2, 3
"""Fields of Message and Content."""
HOSTED_TOOLS = {
    3: "web_search",
    4: "x_search",
    5: "code_execution",
    6: "collections_search",
    7: "mcp",
    8: "attachment_search",
}
"""Fields of Tool beside `function` (1)."""
WEB_SEARCH, X_SEARCH = 1, 2
EFFORT_NONE = 4
TICKS_A_NANO = 10
"""`cost_in_usd_ticks` counts ten-thousand-millionths of a dollar."""


class GrpcXai:
    """POST /xai_api.Chat/GetCompletion and its siblings, of content-type application/grpc."""

    name = "grpc-xai"
    provider = "x-ai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and an empty document: its body is sent as it came; raises NotUnderstood.

        The cap is told only where the model neither reasons nor has tools: xAI applies it to nothing else than text.
        """
        del method
        operation, shape = _method(path)
        if shape is None:
            raise not_understood("the path is no method of xAI's gRPC API that is metered; use the Chat service")
        try:
            request = gathered(request_message(headers, body))
            model = (text(request, shape.request_model) if shape.request_model else None) or ""
            polls = text(request, shape.polls) if shape.polls else None
            tally = Tally()
            _read_input(tally, request, shape)
            cap = number(request, shape.cap) if shape.cap in request else None
            choices = number(request, shape.choices) if shape.choices in request else 1
            effort = number(request, REASONING) if shape.request_model == 2 and REASONING in request else None
        except ValueError as e:
            raise not_understood("the body is no message of Protocol Buffers; send what xai_api declares") from e
        if not model and not polls:
            raise not_understood("model is missing or empty; name the model in the request")
        if len(model) > LONGEST_MODEL:
            raise not_understood(f"model is longer than {LONGEST_MODEL} characters; name a model")
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=operation,
            model=model,
            stream=shape.stream,
            cap=cap if "non-reasoning" in model and not tally.tools else None,
            choices=max(1, min(choices, 128)),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            reasoning=None if effort is None else effort != EFFORT_NONE,
            signed=True,  # nothing covers the body, but nothing of ours writes Protocol Buffers either
            units=(("images", max(1, choices)),) if shape.images else (),
            polls=polls,
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
        shape = METHODS.get(facts.operation, _CHAT)
        return MessageReader(XaiMeter(shape), facts.stream, headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal as a gRPC status; see grpc_refusal."""
        return grpc_refusal(reason, message, status, details, retry_after)


def _method(path: str) -> tuple[str, Method | None]:
    operation = "/".join(path.partition("?")[0].rstrip("/").split("/")[-2:])
    return operation, METHODS.get(operation)


def _read_input(tally: Tally, request: dict[int, list[Value]], shape: Method) -> None:
    """Counts prompts, messages and tools; every byte of them, but for media, as text."""
    if shape.prompts:
        for prompt in messages(request, shape.prompts):
            tally.messages += 1
            tally.size += wire_text(prompt)
            if shape.cap and shape.finish:
                _read_media(tally, prompt, shape)
    if shape.request_model != 2 or shape.images or not shape.cap:
        return
    for tool in messages(request, TOOLS):
        tally.tools += 1
        tally.size += wire_text(tool)
        for field, name in HOSTED_TOOLS.items():
            if field in gathered(tool):
                tally.unbind(name)
    if SEARCH in request:
        tally.unbind("live_search")
    if AGENTS in request:
        tally.unbind("multi_agent")
    if PREVIOUS in request:
        tally.hide("previous_response_id")


def _read_media(tally: Tally, message: bytes, shape: Method) -> None:
    """Notes images and files of a chat's message; their payload is taken out of the text again."""
    if shape.request_model != 2:
        return
    for part in messages(gathered(message), CONTENT):
        content = gathered(part)
        for image in messages(content, IMAGE):
            url = text(gathered(image), 1) or ""
            if url.startswith("data:"):
                tally.add_media("image", url)
                tally.size -= len(url)
            else:
                tally.add_media("image", "")
                tally.hide("image_url")
        for file in messages(content, FILE):
            held = gathered(file)
            for data in messages(held, 2):
                tally.media.append(("document", len(data)))
                tally.size -= len(data)
            for number_of, name in ((1, "file_id"), (5, "document_url")):
                if number_of in held:
                    tally.hide(name)


def wire_text(value: bytes) -> int:
    """The size of a message as text: never less than that of the strings in it."""
    return text_bytes(value.decode("utf-8", "replace"))


class XaiMeter:
    """Reads messages; counts are running totals, so only the last are decoded."""

    def __init__(self, shape: Method) -> None:
        self.found = Found()
        self._shape = shape
        self._counts = self._id = self._model = b""
        self._images = 0

    def message(self, message: bytes) -> None:
        """Reads a whole answer or a chunk; raises ValueError where its bytes are none."""
        shape = self._shape
        if shape.nested:
            message = (messages(gathered(message), shape.nested) or [b""])[-1]
        for field, value in fields(message):
            if not isinstance(value, bytes):
                continue
            if field == shape.outputs:
                self._output(value)
            elif field == shape.usage:
                self._counts = value or self._counts  # a tool's own chunk has an empty one
            elif field == shape.answer_model:
                self._model = value
            elif field == shape.answer_id:
                self._id = value
            elif field == shape.images:
                self._images += 1

    def _output(self, output: bytes) -> None:
        self.found.output_bytes += len(output)
        for field, value in fields(output):
            if field == self._shape.finish and value:
                self.found.finished = True

    def settle(self, whole: bool) -> None:
        """Decodes the last counts; raises ValueError where their bytes are none."""
        found = self.found
        found.response_id = self._id.decode("utf-8", "replace") or None
        found.served_model = self._model.decode("utf-8", "replace") or None
        if self._counts:
            counts = gathered(self._counts)
            usage = sampling_usage(counts)
            if ticks := number(counts, 11):
                found.reported_nanos = -(-ticks // TICKS_A_NANO)
            if whole:
                found.count_usage(usage)
            else:
                found.partial = usage
        elif self._images:
            found.count_usage(counted({"images": self._images}))


def sampling_usage(counts: dict[int, list[Value]]) -> Usage:
    """Totals of a SamplingUsage message; raises ValueError where its numbers are none."""
    completion, prompt, total, reasoning = (number(counts, field) for field in (1, 2, 3, 6))
    inside = reasoning and total == prompt + completion
    hosted = numbers(counts, 9)
    return counted(
        {"web_searches": hosted.count(WEB_SEARCH) + hosted.count(X_SEARCH)},
        input_tokens=prompt or number(counts, 4) + number(counts, 5),
        cache_read_tokens=number(counts, 7),
        output_tokens=completion if inside else completion + reasoning,
        reasoning_tokens=reasoning,
        image_input_tokens=number(counts, 5),
    )
