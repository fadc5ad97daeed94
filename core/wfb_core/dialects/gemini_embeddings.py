"""Google's embeddings, and what else answers Vertex AI's predict: embeddings of text and images, pictures of Imagen.

Facts are from google-genai 3.4 (models.py, types.py: EmbedContentResponse, ContentEmbeddingStatistics) and
cloud.google.com/vertex-ai/generative-ai/docs/model-reference: embedContent and batchEmbedContents tell `usageMetadata`
with the newer models and nothing with older ones; predict counts each instance's tokens in its `statistics`; Imagen
bills pictures.
"""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Found, counted, inner, open_reader, tokens
from wfb_core.dialects.gemini_generate import (
    Target,
    camel,
    field,
    google_refusal,
    listed,
    metadata_usage,
    plain_counts,
    read_content,
    says_counts,
    served_tier,
    with_model,
)
from wfb_core.dialects.request import Document, header, not_understood, parse, part_of, whole
from wfb_core.dialects.tally import Tally

SETTINGS = frozenset(
    ["model", "content", "taskType", "outputDimensionality", "embedContentConfig", "autoTruncate", "mimeType", "labels"]
)
"""Fields of a request to embed that are no input, or are read by themselves."""

PICTURES = ("bytesBase64Encoded", "gcsUri")
IMAGEN_DEFAULT = 4
"""Pictures that Imagen makes where `sampleCount` does not say how many."""


class GeminiEmbeddings:
    """POST …/models/{model}:embedContent, :batchEmbedContents and Vertex AI's :predict."""

    name = "gemini-embeddings"
    provider = "google"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        target = Target.of(path)
        if target is None:
            raise not_understood("the path names no model; ask for …/models/MODEL:embedContent")
        document = parse(headers, body)
        tally = Tally()
        units: tuple[tuple[str, int], ...] = ()
        if target.verb == "predict":
            instances = part_of(document, "instances", list)
            inputs = max(1, len(instances))
            for instance in instances:
                _read_instance(tally, instance)
            if _draws(target.model):
                count = whole(part_of(document, "parameters", dict), "sampleCount")
                units = (("images", IMAGEN_DEFAULT if count is None else count),)
        else:
            requests = [document] if document.get("requests") is None else part_of(document, "requests", list)
            inputs = max(1, len(requests))
            for request in requests:
                _read_request(tally, request)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=target.verb,
            model=target.model,
            stream=False,
            cap=0,
            input_bytes=tally.size,
            messages=tally.messages,
            inputs=inputs,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            reasoning=False,
            deployment=target.deployment,
            units=units,
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: the answer tells its usage unasked, or not at all."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: an embedding has no output to bound."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model: in the path, and in the body's requests, which repeat it."""
        return with_model(document, path, model)

    def model_in(self, path: str) -> str | None:
        """The model that the path names."""
        target = Target.of(path)
        return None if target is None else target.model

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del strip_usage_chunk
        return open_reader(EmbeddingsMeter(facts, headers or {}), False, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Google's error shape; see refusal.answer."""
        return google_refusal(reason, message, status, details, retry_after)


def _draws(model: str) -> bool:
    return model.startswith(("imagen", "imagegeneration"))


def _read_request(tally: Tally, request: Any) -> None:
    if not isinstance(request, dict):
        tally.text(request)
        return
    for content in listed(request.get("content")):
        read_content(tally, content)
    tally.text({name: value for name, value in request.items() if camel(name) not in SETTINGS})


def _read_instance(tally: Tally, instance: Any) -> None:
    """An instance to predict from: its text, and media in base64 or by address."""
    tally.messages += 1
    if not isinstance(instance, dict):
        tally.text(instance)
        return
    for name, value in instance.items():
        kind = next((kind for kind in ("image", "video", "audio") if camel(name).lower().endswith(kind)), None)
        if kind is None or not isinstance(value, dict):
            if camel(name) not in SETTINGS or name == "content":
                tally.text(value)
            continue
        data = field(value, "bytesBase64Encoded")
        tally.add_media(kind, data if isinstance(data, str) else "")
        if field(value, "gcsUri") is not None:
            tally.hide(f"{kind}_url")


class EmbeddingsMeter:
    """Reads one answer."""

    def __init__(self, facts: CallFacts, headers: Mapping[str, str]) -> None:
        self.found = Found(tier=served_tier(header(headers, "x-gemini-service-tier") or None))
        self._facts = facts

    def frame(self, raw: bytes) -> bool:
        """Reads one object of a stream, which embeddings are not known to have; never True."""
        _, event = self.found.event(raw)
        if event is not None:
            self.found.frames += 1
            self.document(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        if document.get("error") is not None:
            found.failed = True
        found.served_model = next(
            (v for v in (document.get("modelVersion"), document.get("model")) if isinstance(v, str)), found.served_model
        )
        try:
            reported = document.get("usageMetadata", document.get("usage_metadata"))
            counts = {} if reported is None else plain_counts(reported)
            if says_counts(counts):
                found.count_usage(metadata_usage(counts))
            elif document.get("predictions") is not None:
                self._predictions(listed(document["predictions"]))
        except ValueError as e:
            found.malformed(e)

    def _predictions(self, predictions: list[Any]) -> None:
        """Sums the tokens that the instances' statistics tell, or counts the pictures made."""
        total, told, pictures = 0, False, 0
        for prediction in predictions:
            if not isinstance(prediction, dict):
                continue
            pictures += any(isinstance(prediction.get(name), str) for name in PICTURES)
            embedding = prediction.get("embeddings")
            statistics = inner(embedding, "statistics") if isinstance(embedding, dict) else {}
            name = "token_count" if "token_count" in statistics else "tokenCount"
            if statistics.get(name) is not None:
                told = True
                total += tokens(statistics, name)
        if told:
            self.found.count_usage(counted(input_tokens=total))
        elif pictures or (_draws(self._facts.model) and not predictions):
            self.found.count_usage(counted({"images": pictures}))

    def ending(self) -> bytes:
        """Empty: one body has no other end than its own."""
        return b""
