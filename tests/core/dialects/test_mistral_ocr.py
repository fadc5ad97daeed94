"""Mistral's reading of documents: pages asked for, pages billed."""

import json
import pathlib

import pytest

from wfb_core.call import CallFacts
from wfb_core.dialects.mistral_ocr import MistralOcr

DIALECT = MistralOcr()
SAMPLE = pathlib.Path(__file__).parent / "samples" / DIALECT.name / "unary.json"
PDF = {"type": "document_url", "document_url": "https://x/y.pdf"}


def read(body, unit="pages"):
    """The Answer of a body."""
    facts = CallFacts(DIALECT.name, "mistral", "ocr", "asked", False, 0, units=((unit, 1),))
    reader = DIALECT.reader(facts, headers={"content-type": "application/json"})
    reader.feed(body)
    reader.feed(b"")
    return reader.end()


@pytest.mark.parametrize("unit", ["pages", "annotated_pages"])
def test_pages_are_counted_as_what_was_asked_for(unit):
    """The answer says how many; whether they are annotated is the request's word."""
    told = read(SAMPLE.read_bytes(), unit)

    assert told.usage.units == ((unit, 2),)
    assert (told.usage.input_tokens, told.usage.output_tokens) == (0, 0)
    assert (told.served_model, told.finished, told.failed) == ("mistral-ocr-2505", True, False)


PAGES = [
    ({}, 1000),
    ({"pages": [0, 3, 4]}, 3),
    ({"pages": "0"}, 1),
    ({"pages": "0,2-4, 9"}, 5),
    ({"pages": "0-99999"}, 1000),
    ({"pages": "9-3"}, 1),
    ({"pages": "all"}, 1000),
    ({"pages": ""}, 1000),
    ({"document": {"type": "image_url", "image_url": "https://x/y.png"}}, 1),
]


@pytest.mark.parametrize(("more", "most"), PAGES)
def test_a_request_is_held_at_the_most_pages_it_can_make_read(more, most):
    """By its own choice of pages, else by what one document may have."""
    body = json.dumps({"model": "mistral-ocr-latest", "document": PDF, **more}).encode()

    facts, document = DIALECT.read_request("POST", "/v1/ocr", {}, body, "mistral")

    assert facts.units == (("pages", most),)
    assert not DIALECT.prepare(document, facts)
    assert not DIALECT.clamp(document, facts, 10)


@pytest.mark.parametrize(
    ("body", "failed", "finding"),
    [
        (b'{"object":"error","message":"m"}', True, "usage missing"),
        (b'{"error":"m"}', True, "usage missing"),
        (b'{"usage_info":{"pages_processed":-1}}', False, "usage malformed: pages_processed is out of range"),
        (b'{"usage_info":[]}', False, "usage malformed: usage_info is no object"),
        (b"[]", False, "frame broken"),
        (b"<html>", False, "body broken"),
    ],
)
def test_an_answer_that_tells_no_pages_says_why(body, failed, finding):
    """Nothing is priced that was not counted."""
    told = read(body)

    assert (told.usage, told.failed, told.finding) == (None, failed, finding)
