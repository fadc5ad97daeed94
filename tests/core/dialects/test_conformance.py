"""Every dialect against answers in its provider's published shape: requests understood, totals exact, refusals its own."""

import json
import pathlib
import re

import botocore.eventstream
import pytest
from anthropic.types import Message
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from cohere.types import EmbedByTypeResponse
from cohere.v2.types import V2ChatResponse
from google.genai import types
from openai.types import Batch, CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription

from harness.dialect_requests import ASKED
from wfb_core import reasons
from wfb_core.dialects import DIALECTS

SAMPLES = pathlib.Path(__file__).parent / "samples"
KINDS = {
    ".sse": "text/event-stream; charset=utf-8",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-jsonl",
    ".eventstream": "application/vnd.amazon.eventstream",
    ".grpc": "application/grpc",
    ".json": "application/json",
}

# name: (path asked, None the dialect's own; model; input, cache read, cache write, output, reasoning; units)
TOLD = {
    "anthropic-batches/stream.jsonl": (
        "GET /v1/messages/batches/msgbatch_1/results",
        "claude-haiku-4-5-20251001",
        (110, 90, 0, 10, 0),
    ),
    "anthropic-batches/unary.json": (None, None, None),
    "anthropic-messages/unary.json": (None, "claude-haiku-4-5-20251001", (1325, 1000, 300, 9, 0)),
    "anthropic-messages/stream.sse": (None, "claude-haiku-4-5-20251001", (1325, 1000, 300, 42, 30)),
    "bedrock-converse/unary.json": (None, None, (1321, 1100, 200, 48, 0)),
    "bedrock-converse/stream.eventstream": (
        "POST /model/amazon.nova-lite-v1%3A0/converse-stream",
        None,
        (33, 0, 0, 27, 0),
    ),
    "bedrock-invoke/unary.json": (None, "claude-haiku-4-5-20251001", (352, 300, 40, 6, 0)),
    "bedrock-invoke/stream.eventstream": (
        "POST /model/anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
        "claude-haiku-4-5-20251001",
        (352, 300, 40, 6, 0),
    ),
    "cohere-chat/unary.json": (None, None, (62, 0, 0, 28, 0)),
    "cohere-chat/stream.sse": (None, None, (62, 0, 0, 28, 0)),
    "cohere-chat/stream_v1.ndjson": ("POST /v1/chat", None, (9, 0, 0, 3, 0)),
    "cohere-embed/unary.json": (None, None, (14, 0, 0, 0, 0)),
    "cohere-embed/unary_rerank.json": ("POST /v2/rerank", None, (0, 0, 0, 0, 0), (("search_units", 3),)),
    "gemini-embeddings/unary.json": (None, None, (11, 0, 0, 0, 0)),
    "gemini-embeddings/unary_predict.json": (None, None, (15, 0, 0, 0, 0)),
    "gemini-generate/unary.json": (None, "gemini-2.5-flash", (412, 256, 0, 121, 90)),
    "gemini-generate/stream.sse": (
        "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "gemini-2.5-flash",
        (412, 256, 0, 121, 90),
    ),
    "gemini-generate/stream.array.json": (
        "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "gemini-3-flash-preview",
        (8, 0, 0, 2464, 2027),
    ),
    "gemini-interactions/unary.json": (None, "gemini-2.5-flash", (230, 10, 0, 52, 40), (("web_searches", 1),)),
    "gemini-interactions/stream.sse": (
        None,
        "gemini-3-flash-preview",
        (230, 10, 0, 52, 40),
        (("web_searches", 3),),
    ),
    "grpc-vertex/unary.grpc": (None, "gemini-2.5-flash", (100, 60, 0, 40, 30)),
    "grpc-vertex/stream.grpc": (
        "POST /google.cloud.aiplatform.v1beta1.PredictionService/StreamGenerateContent",
        "gemini-2.5-flash",
        (100, 60, 0, 40, 30),
    ),
    "grpc-xai/unary.grpc": (None, "grok-4.3", (453, 128, 0, 239, 182)),
    "grpc-xai/stream.grpc": ("POST /xai_api.Chat/GetCompletionChunk", "grok-4.3", (453, 128, 0, 239, 182)),
    "mistral-ocr/unary.json": (None, "mistral-ocr-2505", (0, 0, 0, 0, 0), (("pages", 2),)),
    "ollama/unary.json": (None, "llama3.3", (26, 0, 0, 298, 0)),
    "ollama/stream.ndjson": (None, "gpt-oss:20b", (926, 512, 0, 82, 0)),
    "openai-audio/unary.json": (None, None, (14, 0, 0, 45, 0)),
    "openai-audio/unary_duration.json": (None, None, (0, 0, 0, 0, 0), (("audio_input_ms", 9000),)),
    "openai-audio/stream.sse": (None, None, (14, 0, 0, 45, 0)),
    "openai-batches/unary.json": ("GET /v1/batches/batch_1", "gpt-5.4-2026-03-05", (1500, 1024, 0, 500, 300)),
    "openai-batches/unary_created.json": (None, None, None),
    "openai-chat/unary.json": (None, "gpt-4o-2024-08-06", (2006, 1920, 64, 300, 128)),
    "openai-chat/stream.sse": (None, "gpt-4o-2024-08-06", (2006, 1920, 64, 300, 128)),
    "openai-completions/unary.json": (None, "gpt-3.5-turbo-instruct:20230824-v2", (11, 0, 0, 8, 0)),
    "openai-completions/stream.sse": (None, "gpt-3.5-turbo-instruct:20230824-v2", (4, 0, 0, 3, 0)),
    "openai-embeddings/unary.json": (None, "text-embedding-3-small", (8, 0, 0, 0, 0)),
    "openai-embeddings/unary_voyage.json": (None, "voyage-3", (10, 0, 0, 0, 0)),
    "openai-images/unary.json": (None, None, (60, 0, 0, 4160, 0)),
    "openai-images/stream.sse": (None, None, (60, 0, 0, 4160, 0)),
    "openai-responses/unary.json": (None, "gpt-5.6-2026-06-01", (1200, 1024, 128, 90, 64)),
    "openai-responses/stream.sse": (
        None,
        "gpt-5.6-2026-06-01",
        (1200, 1024, 128, 90, 64),
        (("web_searches", 2),),
    ),
}
"""What each sample has to be read as; totals None where it tells none. Sockets have scripts of events of their own."""

NEVER_STREAM = {"cohere-embed", "gemini-embeddings", "mistral-ocr", "openai-batches", "openai-embeddings"}
NO_CAP = {name for name, asked in ASKED.items() if not asked.cap} | {"anthropic-batches", "grpc-vertex", "grpc-xai"}
"""Dialects whose requests have no cap, or one that cannot be changed: signed, binary, or many in one."""


def asked(name, where=None):
    """(facts, document) of the least request of a dialect, at another path where told."""
    one = ASKED[name]
    method, path = where.split(" ", 1) if where else (one.method, one.path)
    body = b"" if method == "GET" else one.body
    return DIALECTS[name].read_request(method, path, one.headers, body)


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("size", [10**9, 1], ids=["whole", "bytes"])
def test_totals_are_those_of_the_provider(name, size):
    """Every total and the served model of every sample, whole and byte by byte, and the bytes go on as they came."""
    where, model, totals, *units = TOLD[name]
    dialect = name.partition("/")[0]
    body = (SAMPLES / name).read_bytes()
    facts, _ = asked(dialect, where)
    reader = DIALECTS[dialect].reader(facts, headers={"content-type": KINDS[pathlib.Path(name).suffix]})
    out = b"".join(reader.feed(body[i : i + size]) for i in range(0, len(body), size)) + reader.feed(b"")
    found = reader.end()
    used = found.usage
    assert out == body
    told = used and (
        used.input_tokens,
        used.cache_read_tokens,
        used.cache_write_tokens,
        used.output_tokens,
        used.reasoning_tokens,
    )
    assert (told, found.served_model, found.failed) == (totals, model, False)
    assert [used.units] == (units or [()]) if used else not units


def test_every_dialect_has_its_samples():
    """A dialect without a sample of each of its framings proves nothing."""
    have = {(name.partition("/")[0], name.partition("/")[2].startswith("stream")) for name in TOLD}
    assert {name for name, _ in have} == set(DIALECTS) == set(ASKED)
    assert set(DIALECTS) - {name for name, stream in have if stream} == NEVER_STREAM


SHAPES = {
    "anthropic-batches/unary.json": MessageBatch,
    "anthropic-messages/unary.json": Message,
    "bedrock-invoke/unary.json": Message,
    "cohere-chat/unary.json": V2ChatResponse,
    "cohere-embed/unary.json": EmbedByTypeResponse,
    "gemini-embeddings/unary.json": types.EmbedContentResponse,
    "gemini-generate/unary.json": types.GenerateContentResponse,
    "openai-audio/unary.json": Transcription,
    "openai-batches/unary.json": Batch,
    "openai-batches/unary_created.json": Batch,
    "openai-embeddings/unary.json": CreateEmbeddingResponse,
    "openai-images/unary.json": ImagesResponse,
}


@pytest.mark.parametrize("name", SHAPES)
def test_samples_have_the_shape_that_the_sdk_declares(name):
    """The provider's own SDK takes the sample for one of its answers."""
    body = json.loads((SAMPLES / name).read_bytes())
    if name == "gemini-embeddings/unary.json":
        body = {"embeddings": [body["embedding"]]}  # the SDK wraps the one embedding that the service gives
    SHAPES[name].model_validate(body)


def test_batch_results_have_the_shape_that_the_sdk_declares():
    """Each line is an individual response of the SDK's."""
    for line in (SAMPLES / "anthropic-batches/stream.jsonl").read_bytes().splitlines():
        MessageBatchIndividualResponse.model_validate_json(line)


@pytest.mark.parametrize("name", ["bedrock-converse/stream.eventstream", "bedrock-invoke/stream.eventstream"])
def test_event_streams_are_awss_own(name):
    """botocore, which checks both sums of every message, reads the same events."""
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data((SAMPLES / name).read_bytes())
    kinds = [message.headers[":event-type"] for message in buffer]
    assert kinds[-1] == ("metadata" if "converse" in name else "chunk")


# ---------------------------------------------------------------- requests and refusals
@pytest.mark.parametrize("name", ASKED)
def test_a_request_is_understood(name):
    """Model, cap and size of the least request that the provider takes."""
    facts, _ = asked(name)
    assert (facts.dialect, facts.model) == (name, ASKED[name].model)
    if name in {"anthropic-batches", "openai-audio"}:
        return
    assert facts.cap == ASKED[name].cap


@pytest.mark.parametrize("name", ASKED)
def test_a_cap_is_lowered_or_the_request_left_alone(name):
    """Clamp lowers the one number that it may, and says so; where it may not, nothing of the document changes."""
    facts, document = asked(name)
    before = json.dumps(document, sort_keys=True)
    clamped = DIALECTS[name].clamp(document, facts, 60)
    assert clamped == (name not in NO_CAP)
    if clamped:
        assert json.dumps(document, sort_keys=True) == re.sub(r": 100\b", ": 60", before)
    else:
        assert json.dumps(document, sort_keys=True) == before


@pytest.mark.parametrize(
    "name", sorted(set(ASKED) - {"anthropic-batches", "grpc-vertex", "grpc-xai", "openai-audio", "openai-batches"})
)
def test_another_model_is_asked_for_where_the_provider_reads_it(name):
    """In the document or in the path, and read back as the model asked for."""
    one = ASKED[name]
    _, document = asked(name)
    path = DIALECTS[name].with_model(document, one.path, "other-model")
    again, _ = DIALECTS[name].read_request(one.method, path, one.headers, json.dumps(document).encode())
    assert again.model == "other-model"


REFUSED = {
    reasons.BUDGET_EXHAUSTED: 402,
    reasons.MONEY_IN_FLIGHT: 429,
    reasons.MODEL_NOT_ALLOWED: 403,
    reasons.MODEL_UNPRICED: 403,
    reasons.BODY_NOT_UNDERSTOOD: 400,
    reasons.INTERNAL_ERROR: 500,
}
DETAILS = {"budget": "billing/triage", "decision": "d-1", "limit": "200.00", "spent": "200.00"}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("reason", REFUSED)
def test_every_dialect_refuses_for_every_reason(name, reason):
    """A status that no SDK mistakes for success, no retry without Retry-After, and the reason in words or trailers."""
    retry_after = 3 if reason == reasons.MONEY_IN_FLIGHT else None
    status, headers, body = DIALECTS[name].refusal(
        reason, "The day's money is spent.", REFUSED[reason], DETAILS, retry_after
    )
    said = json.dumps(dict(headers)) + body.decode("utf-8", "replace")
    if name.startswith("grpc-"):
        assert status == 200
        assert headers["grpc-status"] not in ("", "0")
    else:
        assert 400 <= status < 600
        assert headers["content-type"].startswith("application/json")
        json.loads(body)
    assert ("retry-after" in headers) == (retry_after is not None)
    assert headers["x-wfb-reason"] == reason
    assert "d-1" in said
    assert "money is spent" in said.replace("%20", " ").replace("%27", "'")
