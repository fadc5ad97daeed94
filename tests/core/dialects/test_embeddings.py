"""Embeddings, rerankers and pages: answers that have no output, and requests that have no cap."""

import json

import pytest

from wfb_core.dialects.mistral_ocr import MistralOcr
from wfb_core.dialects.openai_completions import OpenAICompletions
from wfb_core.dialects.openai_embeddings import OpenAIEmbeddings
from wfb_core.dialects.request import NotUnderstood

JSON = {"content-type": "application/json"}


def _answer(dialect, request, answer, path="/v1/x", provider="openai", headers=JSON):
    facts, _ = dialect.read_request("POST", path, {}, json.dumps(request).encode(), provider)
    reader = dialect.reader(facts, headers=headers)
    reader.feed(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    reader.feed(b"")
    return facts, reader.end()


INPUTS = [
    ({"prompt_tokens": 8, "total_tokens": 8}, 8),
    ({"total_tokens": 5}, 5),  # Voyage
    ({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}, 7),  # Mistral
    ({"input_tokens": 3}, 3),
]


@pytest.mark.parametrize(("usage", "total"), INPUTS)
def test_what_is_embedded_is_all_that_counts(usage, total):
    """Every provider's name for the input is known, and there is no output."""
    request = {"model": "text-embedding-3-small", "input": ["a", "bc"]}
    facts, answer = _answer(OpenAIEmbeddings(), request, {"model": "m", "data": [], "usage": usage})

    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.served_model) == (total, 0, "m")
    assert (facts.cap, facts.messages) == (0, 2)
    assert facts.input_bytes >= 3


def test_an_azure_deployment_is_the_model_asked_for():
    """The path names it where the body does not, decoded."""
    path = "/openai/deployments/my%20embedder/embeddings?api-version=1"
    facts, _ = OpenAIEmbeddings().read_request("POST", path, {}, b'{"input": "x"}', "azure")

    assert (facts.model, facts.deployment) == ("my embedder", True)


@pytest.mark.parametrize("usage", [{"prompt_tokens": -1}, {"prompt_tokens": "5"}, {"total_tokens": None}])
def test_counts_that_are_none_are_findings(usage):
    """Nothing that is no count is priced."""
    _, answer = _answer(OpenAIEmbeddings(), {"model": "m", "input": "x"}, {"usage": usage})

    assert answer.usage is None
    assert answer.finding.startswith("usage malformed")


STREAM = (
    b'data: {"id":"cmpl-1","model":"gpt-3.5-turbo-instruct","choices":[{"text":"hi","index":0,"finish_reason":null}]}\n\n'
    b'data: {"id":"cmpl-1","model":"gpt-3.5-turbo-instruct","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}'
    b"\n\ndata: [DONE]\n\n"
)


def test_a_completion_streams_as_chat_does():
    """Text, the usage chunk that only metering asked for, and the end."""
    dialect = OpenAICompletions()
    request = {"model": "gpt-3.5-turbo-instruct", "prompt": ["a", "b"], "stream": True, "n": 2}
    facts, document = dialect.read_request("POST", "/v1/completions", {}, json.dumps(request).encode())
    assert dialect.prepare(document, facts)
    assert document["stream_options"] == {"include_usage": True}
    reader = dialect.reader(facts, True, {"content-type": "text/event-stream"})
    passed = reader.feed(STREAM) + reader.feed(b"")
    answer = reader.end()

    assert b"usage" not in passed
    assert passed.endswith(b"data: [DONE]\n\n")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 2)
    assert (facts.cap, facts.choices) == (16, 4)


OCR = {"model": "mistral-ocr-2505", "pages": [{"index": 0}], "usage_info": {"pages_processed": 3, "doc_size_bytes": 9}}


@pytest.mark.parametrize(
    ("more", "unit", "most"),
    [
        ({}, "pages", 1000),
        ({"pages": [0, 1]}, "pages", 2),
        ({"document_annotation_format": {"type": "json_schema"}}, "annotated_pages", 1000),
    ],
)
def test_pages_are_what_is_billed(more, unit, most):
    """By what the answer read; held at what the request can make it read."""
    request = {"model": "mistral-ocr-latest", "document": {"type": "document_url", "document_url": "u"}, **more}
    facts, answer = _answer(MistralOcr(), request, OCR, provider="mistral")

    assert facts.units == ((unit, most),)
    assert answer.usage.units == ((unit, 3),)
    assert answer.served_model == "mistral-ocr-2505"


@pytest.mark.parametrize("dialect", [OpenAIEmbeddings(), OpenAICompletions(), MistralOcr()])
def test_an_empty_body_is_not_understood(dialect):
    """The way out is said."""
    with pytest.raises(NotUnderstood, match="the body is empty; send"):
        dialect.read_request("POST", "/v1/x", {}, b"")


@pytest.mark.parametrize(
    ("provider", "usage", "total", "nanos"),
    [
        ("openrouter", {"prompt_tokens": 7, "total_tokens": 7, "cost": 1.4e-07, "is_byok": False}, 7, 140),
        ("perplexity", {"prompt_tokens": 7, "total_tokens": 7, "cost": {"total_cost": 2.8e-08}}, 7, 28),
        ("voyageai", {"text_tokens": 4, "image_pixels": 1000, "total_tokens": 6}, 6, None),
        ("azure", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 9}, 9, None),
        ("voyageai", {"total_tokens": 0}, 0, None),
    ],
)
def test_what_providers_say_beside_the_input_is_read(provider, usage, total, nanos):
    """Their own bill, and totals that hold more than the text."""
    _, answer = _answer(OpenAIEmbeddings(), {"model": "m", "input": "x"}, {"usage": usage}, provider=provider)

    assert (answer.usage.input_tokens, answer.reported_nanos) == (total, nanos)


def test_a_ranking_reads_the_query_with_every_document():
    """So that the hold covers what a reranker counts."""
    request = {"model": "rerank-2", "query": "q" * 100, "documents": ["d"] * 5, "top_k": 2}
    facts, answer = _answer(OpenAIEmbeddings(), request, {"model": "rerank-2", "usage": {"total_tokens": 505}})

    assert (facts.operation, facts.messages) == ("rerank", 5)
    assert facts.input_bytes >= 505
    assert answer.usage.input_tokens == 505


@pytest.mark.parametrize(
    ("entry", "hidden"),
    [
        ({"image": "https://x/y.png"}, ("image_url",)),
        ({"image": "iVBORw0KGgo" * 50}, ()),
        (
            {"content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": "https://x/y"}]},
            ("image_url",),
        ),
        ({"content": [{"type": "image_base64", "image_base64": "data:image/png;base64,AAAA"}]}, ()),
    ],
)
def test_pictures_to_embed_are_media(entry, hidden):
    """Jina's and Voyage's shapes; an address is input that the body does not show."""
    body = json.dumps({"model": "m", "input": [entry]}).encode()

    facts, _ = OpenAIEmbeddings().read_request("POST", "/v1/embeddings", {}, body, "jina")

    assert [kind for kind, _ in facts.media] == ["image"]
    assert facts.hidden_input == hidden
    assert facts.input_bytes < 200


def test_an_azure_deployment_is_changed_in_the_path():
    """The body has no say there."""
    path = "/openai/deployments/old/embeddings?api-version=1"
    document = {"input": "x"}

    assert OpenAIEmbeddings().with_model(document, path, "new") == "/openai/deployments/new/embeddings?api-version=1"
    assert document == {"input": "x"}


@pytest.mark.parametrize("body", [{"error": {"message": "m"}}, {"object": "error", "message": "m"}])
def test_an_error_inside_a_200_of_embeddings_is_a_failure(body):
    """It has no usage to settle."""
    _, answer = _answer(OpenAIEmbeddings(), {"model": "m", "input": "x"}, body)

    assert (answer.failed, answer.usage) == (True, None)
