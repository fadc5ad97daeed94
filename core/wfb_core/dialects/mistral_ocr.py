"""Mistral's reading of documents, which is billed by the page: POST /v1/ocr.

Shapes: mistralai 3.7, models/ocrrequest.py, ocrresponse.py and ocrusageinfo.py. A request that asks for annotations pays
another rate for each page: docs.mistral.ai/capabilities/document_ai/annotations.
"""

import re
from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Found, counted, inner, open_reader, tokens
from wfb_core.dialects.openai_chat import openai_refusal
from wfb_core.dialects.request import Document, model_of, not_understood, parse

ANNOTATIONS = ("document_annotation_format", "bbox_annotation_format")
MOST_PAGES = 1_000
"""Pages of one document at most: docs.mistral.ai/capabilities/document_ai/basic_ocr."""


class MistralOcr:
    """POST /ocr."""

    name = "mistral-ocr"
    provider = "mistral"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method, path
        if not body:
            raise not_understood("the body is empty; send a document to read")
        document = parse(headers, body)
        pages = _pages(document)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="ocr",
            model=model_of(document),
            stream=False,
            cap=0,
            units=((_unit(document), pages),),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: the answer tells its pages unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: pages have no cap in tokens."""
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
        del strip_usage_chunk
        return open_reader(OcrMeter(facts), stream=False, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape, which the SDK raises as an SDKError; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


class OcrMeter:
    """Reads one body; of the pages only their number."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._unit = facts.units[0][0] if facts.units else "pages"

    def frame(self, raw: bytes) -> bool:
        """Reads an answer that came as one event; never True."""
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
        if isinstance(document.get("model"), str) and document["model"]:
            found.served_model = document["model"]
        try:
            counts = inner(document, "usage_info")
            if counts.get("pages_processed") is not None:
                found.count_usage(counted({self._unit: tokens(counts, "pages_processed")}))
            found.failed = bool(document.get("error")) or document.get("object") == "error"
        except ValueError as e:
            found.malformed(e)

    def ending(self) -> bytes:
        """Nothing: a body cannot end early."""
        return b""


_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def _pages(document: Document) -> int:
    """The most pages that are read: those asked for, by their numbers or as ``0-4,7``; one of an image; else the limit."""
    chosen, source = document.get("pages"), document.get("document")
    if isinstance(chosen, list):
        return min(len(chosen), MOST_PAGES)
    if isinstance(source, dict) and source.get("type") == "image_url":
        return 1
    if not isinstance(chosen, str):
        return MOST_PAGES
    ranges = [_RANGE.fullmatch(part.strip()) for part in chosen.split(",")]
    if None in ranges:
        return MOST_PAGES
    return min(sum(max(1, int(found[2] or found[1]) - int(found[1]) + 1) for found in ranges if found), MOST_PAGES)


def _unit(document: Document) -> str:
    return "annotated_pages" if any(document.get(name) for name in ANNOTATIONS) else "pages"
