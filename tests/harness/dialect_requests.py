"""The least that each dialect can be asked: a path and a body of the provider's own shape, for tests of all dialects."""

import json
import struct
from typing import NamedTuple


def varint(value):
    """A number as Protocol Buffers have it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(*fields):
    """A message of Protocol Buffers of (number, value): numbers as varints, text and bytes with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def framed(body):
    """A message with gRPC's prefix."""
    return b"\0" + struct.pack(">I", len(body)) + body


class Asked(NamedTuple):
    """One request, and what has to be understood of it."""

    path: str
    body: bytes
    model: str
    headers: dict[str, str] = {}  # noqa: RUF012
    method: str = "POST"
    cap: int | None = None
    """The most output tokens that it asks for; None where it says none, 0 where there is no output."""


def asks(path, model, cap=None, /, **body):
    """A request in JSON; a model that the path does not name stands in the body."""
    return Asked(path, json.dumps(body).encode(), model, {"content-type": "application/json"}, "POST", cap)


FORM = (
    b'--b1\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b1--\r\n'
)
GRPC = {"content-type": "application/grpc"}
HELLO = [{"role": "user", "content": "hello"}]
PARTS = [{"role": "user", "parts": [{"text": "hello"}]}]
NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"
BLOCKS = [{"role": "user", "content": [{"text": "hello"}]}]
VERTEX = "projects/p/locations/l/publishers/google/models/gemini-2.5-flash"

ASKED = {
    "anthropic-batches": asks(
        "/v1/messages/batches",
        "claude-haiku-4-5",
        requests=[
            {"custom_id": "a", "params": {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": HELLO}},
        ],
    ),
    "anthropic-messages": asks(
        "/v1/messages", "claude-haiku-4-5", 100, model="claude-haiku-4-5", max_tokens=100, messages=HELLO
    ),
    "bedrock-converse": asks(
        "/model/amazon.nova-lite-v1%3A0/converse", NOVA, 100, messages=BLOCKS, inferenceConfig={"maxTokens": 100}
    ),
    "bedrock-invoke": asks(
        "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke",
        CLAUDE,
        100,
        anthropic_version="bedrock-2023-05-31",
        max_tokens=100,
        messages=HELLO,
    ),
    "cohere-chat": asks(
        "/v2/chat", "command-a-03-2025", 100, model="command-a-03-2025", max_tokens=100, messages=HELLO
    ),
    "cohere-embed": asks("/v2/embed", "embed-v4.0", 0, model="embed-v4.0", texts=["hello"], input_type="search_query"),
    "gemini-embeddings": asks(
        "/v1beta/models/gemini-embedding-001:embedContent",
        "gemini-embedding-001",
        0,
        content={"parts": [{"text": "hello"}]},
    ),
    "gemini-generate": asks(
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "gemini-2.5-flash",
        100,
        contents=PARTS,
        generationConfig={"maxOutputTokens": 100},
    ),
    "gemini-interactions": asks(
        "/v1beta/interactions",
        "gemini-3-flash-preview",
        100,
        model="gemini-3-flash-preview",
        input="hello",
        generation_config={"max_output_tokens": 100},
    ),
    "grpc-vertex": Asked(
        "/google.cloud.aiplatform.v1beta1.PredictionService/GenerateContent",
        framed(message((5, VERTEX), (2, message((1, "user"), (2, message((1, "hello"))))), (4, message((5, 100))))),
        "gemini-2.5-flash",
        GRPC,
        "POST",
        100,
    ),
    "grpc-xai": Asked(
        "/xai_api.Chat/GetCompletion",
        framed(message((1, message((1, message((1, "hello"))), (2, 1))), (2, "grok-4-1-fast-non-reasoning"), (7, 100))),
        "grok-4-1-fast-non-reasoning",
        GRPC,
        "POST",
        100,
    ),
    "mistral-ocr": asks(
        "/v1/ocr",
        "mistral-ocr-latest",
        0,
        model="mistral-ocr-latest",
        document={"type": "document_url", "document_url": "https://x/y.pdf"},
    ),
    "ollama": asks("/api/chat", "llama3.3", 100, model="llama3.3", messages=HELLO, options={"num_predict": 100}),
    "openai-audio": Asked(
        "/v1/audio/transcriptions", FORM, "whisper-1", {"content-type": "multipart/form-data; boundary=b1"}
    ),
    "openai-batches": asks(
        "/v1/batches", "", input_file_id="file-1", endpoint="/v1/responses", completion_window="24h"
    ),
    "openai-chat": asks(
        "/v1/chat/completions", "gpt-4o-mini", 100, model="gpt-4o-mini", max_tokens=100, messages=HELLO
    ),
    "openai-completions": asks(
        "/v1/completions", "gpt-3.5-turbo-instruct", 100, model="gpt-3.5-turbo-instruct", prompt="hello", max_tokens=100
    ),
    "openai-embeddings": asks(
        "/v1/embeddings", "text-embedding-3-small", 0, model="text-embedding-3-small", input="hello"
    ),
    "openai-images": asks("/v1/images/generations", "gpt-image-1", model="gpt-image-1", prompt="a fox"),
    "openai-responses": asks(
        "/v1/responses", "gpt-5-mini", 100, model="gpt-5-mini", input="hello", max_output_tokens=100
    ),
}
"""One request for each dialect."""
