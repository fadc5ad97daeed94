"""Cohere's Embed, Rerank and Classify, version 1 and 2.

Facts are from cohere-python 5 (types/api_meta.py, api_meta_billed_units.py): `meta.billed_units` holds the tokens,
images, searches or classifications that are paid. A search ranks up to a hundred documents (cohere.com/pricing).
"""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Found, open_reader
from wfb_core.dialects.cohere_chat import PARTS, billed, cohere_refusal
from wfb_core.dialects.request import Document, model_of, named, parse, part_of
from wfb_core.dialects.tally import Tally

SILENT = frozenset(
    [
        "model",
        "input_type",
        "embedding_types",
        "output_dimension",
        "truncate",
        "max_tokens",
        "top_n",
        "max_tokens_per_doc",
        "max_chunks_per_doc",
        "return_documents",
        "rank_fields",
        "priority",
        "images",
        "inputs",
    ]
)
"""Fields that are no input, or are read by themselves; every other one is counted."""
DOCUMENTS_A_SEARCH = 100
OPERATIONS = ("embed", "rerank", "classify")


class CohereEmbed:
    """POST /v1/embed, /v2/embed, /v1/rerank, /v2/rerank and /v1/classify."""

    name = "cohere-embed"
    provider = "cohere"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood.

        Rerank's documents are its units; version 1 has default models, whose name the request may leave out.
        """
        del method
        document = parse(headers, body)
        last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
        operation = last if last in OPERATIONS else "embed"
        tally = Tally()
        tally.messages = 1
        for item in part_of(document, "inputs", list):
            tally.content(item, PARTS)
        for image in part_of(document, "images", list):
            if isinstance(image, str):
                tally.add_media("image", image)
        tally.rest(document, SILENT)
        documents = part_of(document, "documents", list) if operation == "rerank" else []
        searches = (("search_units", max(1, -(-len(documents) // DOCUMENTS_A_SEARCH))),)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=operation,
            model=model_of(document) if named(document, "model") is not None else _default_model(document, operation),
            stream=False,
            cap=0,
            input_bytes=tally.size,
            messages=tally.messages,
            inputs=max(1, *(len(part_of(document, name, list)) for name in ("texts", "inputs", "images", "documents"))),
            media=tuple(tally.media),
            units=searches if operation == "rerank" else (),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: an answer tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: there is no output to cap."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the body names."""
        document["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the body names it."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del facts, strip_usage_chunk
        return open_reader(EmbedMeter(), stream=False, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Cohere's error shape; see cohere_refusal."""
        return cohere_refusal(reason, message, status, details, retry_after)


def _default_model(document: Document, operation: str) -> str:
    """The model of version 1 where the request names none; raises NotUnderstood where there is no such default."""
    defaults = {"embed": "embed-english-v2.0", "rerank": "rerank-english-v2.0"}
    return defaults.get(operation) or model_of(document)


class EmbedMeter:
    """Reads the billed units of one body."""

    def __init__(self) -> None:
        self.found = Found()

    def frame(self, raw: bytes) -> bool:
        """Reads a body that came as one event or line; never True."""
        _, event = self.found.event(raw)
        if event is not None:
            self.document(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer; its vectors and scores are no text."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        if isinstance(document.get("id"), str):
            found.response_id = document["id"]
        if isinstance(document.get("model"), str):
            found.served_model = document["model"]
        meta = document.get("meta")
        if meta is None:
            found.failed = isinstance(document.get("message"), str)
            return
        try:
            usage = billed(meta if isinstance(meta, dict) else {})
        except ValueError as e:
            found.malformed(e)
            return
        if usage is not None:
            found.count_usage(usage)

    def ending(self) -> bytes:
        """Empty: there is no stream."""
        return b""
