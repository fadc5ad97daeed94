"""Google's embeddings and Vertex AI's predict: what is asked, what is counted, and what tells nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.gemini_embeddings import GeminiEmbeddings
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

EMBEDDINGS = GeminiEmbeddings()
VERTEX = "/v1/projects/p/locations/global/publishers/google/models"


def answer(document, model="gemini-embedding-001"):
    """The Answer that a body makes."""
    facts = CallFacts("gemini-embeddings", "google", "predict", model, False, 0)
    reader = EMBEDDINGS.reader(facts, False, {"content-type": "application/json"})
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    assert reader.feed(body) + reader.feed(b"") == body
    return reader.end()


def predicted(*tokens):
    """An answer of predict with these token counts."""
    return {
        "predictions": [{"embeddings": {"statistics": {"token_count": count}, "values": [0.1]}} for count in tokens]
    }


@pytest.mark.parametrize(
    ("document", "model", "usage"),
    [
        (
            {
                "embeddings": [{"values": [0.1]}],
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "promptTokenDetails": [
                        {"modality": "TEXT", "tokenCount": 7},
                        {"modality": "AUDIO", "tokenCount": 2},
                    ],
                },
            },
            "gemini-embedding-2",
            Usage(input_tokens=9, audio_input_tokens=2),
        ),
        (
            {"embedding": {}, "usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11}},
            "gemini-embedding-2",
            Usage(input_tokens=11),
        ),
        (predicted(4, 6.0), "gemini-embedding-001", Usage(input_tokens=10)),
        ({"predictions": [{"bytesBase64Encoded": "a"}] * 3}, "imagen-4.0", Usage(units=(("images", 3),))),
        ({"predictions": []}, "imagen-4.0", Usage()),  # all were filtered
        ({"embeddings": [{"values": [0.1]}]}, "gemini-embedding-001", None),
        ({"predictions": [{"imageEmbedding": [0.1]}]}, "multimodalembedding", None),
        ({"error": {"code": 404}}, "gemini-embedding-001", None),
        ([], "gemini-embedding-001", None),
        (predicted("four"), "gemini-embedding-001", None),
    ],
)
def test_answers_are_counted_where_they_tell(document, model, usage):
    """Metadata, statistics of instances, pictures; what tells nothing has a finding."""
    told = answer(document, model)

    assert told.usage == usage
    assert (told.finding is None) == (usage is not None)
    assert told.failed == ("error" in document)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/v1beta/models/g:batchEmbedContents",
            {"requests": [{"model": "models/g", "content": {"parts": [{"text": "hello"}]}, "taskType": "X"}] * 2},
            ("g", 2, (), ()),
        ),
        (
            f"{VERTEX}/g:embedContent",
            {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]}},
            ("g", 1, (("image", 3),), ()),
        ),
        (f"{VERTEX}/g:predict", {"instances": [{"content": "hello", "task_type": "X"}]}, ("g", 1, (), ())),
        (
            f"{VERTEX}/multimodalembedding:predict",
            {"instances": [{"text": "x", "image": {"bytesBase64Encoded": "aaaa"}}]},
            ("multimodalembedding", 1, (("image", 3),), ()),
        ),
        (
            f"{VERTEX}/imagen-4.0:predict",
            {"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 2}},
            ("imagen-4.0", 1, (), (("images", 2),)),
        ),
        (f"{VERTEX}/imagen-4.0:predict", {"instances": [{"prompt": "a cat"}]}, ("imagen-4.0", 1, (), (("images", 4),))),
    ],
)
def test_what_a_request_asks_for(path, body, told):
    """Model, contents, media and pictures; nothing of it can be clamped, and another model is asked for in the path."""
    facts, document = EMBEDDINGS.read_request("POST", path, {}, json.dumps(body).encode())

    assert (facts.model, facts.messages, facts.media, facts.units) == told
    assert (facts.cap, facts.stream) == (0, False)
    assert not EMBEDDINGS.clamp(document, facts, 1)
    assert EMBEDDINGS.with_model(document, path, "small") == path.replace(f"{told[0]}:", "small:")
    assert all(request["model"] == "models/small" for request in document.get("requests", ()))


def test_text_is_counted_once():
    """The bytes of a text are in the input; settings are not."""

    def size(**more):
        body = {"content": {"parts": [{"text": "hello world"}]}, **more}
        return EMBEDDINGS.read_request("POST", "/v1/models/g:embedContent", {}, json.dumps(body).encode())[
            0
        ].input_bytes

    assert 11 <= size() < 30
    assert size(outputDimensionality=768, taskType="RETRIEVAL_QUERY") == size()
    assert size(title="abc") > size()


def test_a_path_without_a_model_is_not_understood():
    """A path that names none is an error."""
    with pytest.raises(NotUnderstood, match="path names no model"):
        EMBEDDINGS.read_request("POST", "/v1/models", {}, b"{}")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists).map(predicted))
def test_no_bytes_make_a_reader_fail(body):
    """Arbitrary bytes and counts of any kind never raise."""
    assert not (answer(body).finding or "").startswith("reader failed")
