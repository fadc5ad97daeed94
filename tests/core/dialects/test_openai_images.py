"""OpenAI's Images API: forms and JSON in, tokens or images out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.dialects.openai_images import OpenAIImages
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

IMAGES = OpenAIImages()
FORM = {"Content-Type": 'multipart/form-data; boundary="Xx-1"'}
COUNTS = {
    "input_tokens": 60,
    "output_tokens": 4160,
    "total_tokens": 4220,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 40},
}
DRAWN = Usage(input_tokens=60, output_tokens=4160, image_input_tokens=40, image_output_tokens=4160)


def form(*parts):
    """A form of (head, value) parts."""
    lines = [
        b"--Xx-1\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + value + b"\r\n" for head, value in parts
    ]
    return b"".join(lines) + b"--Xx-1--\r\n"


EDIT = form(
    (b'name="model"', b"gpt-image-1"),
    (b'name="n"', b"2"),
    (b'name="stream"', b"true"),
    (b'name="prompt"', b"A red fox"),
    (b'name="image[]"; filename="a.png"\r\nContent-Type: image/png', b"\x89PNG\r\n--Xx"),
)


def asked(body, path="/v1/images/generations", headers=None):
    """The facts of a request."""
    return IMAGES.read_request("POST", path, headers or {}, body)[0]


def answered(facts, *chunks, kind="application/json"):
    """What an answer in chunks says."""
    reader = IMAGES.reader(facts, headers={"content-type": kind})
    assert b"".join(map(reader.feed, chunks)) == b"".join(chunks)
    reader.feed(b"")
    return reader.end()


@pytest.mark.parametrize(
    ("path", "headers", "body", "expected"),
    [
        ("/v1/images/generations", {}, b'{"prompt":"fox","n":3}', ("dall-e-2", 3, False, "images.generations", ())),
        ("/v1/images/edits", FORM, EDIT, ("gpt-image-1", 2, True, "images.edits", (("image", 10),))),
        ("/openai/deployments/draw/images/edits", FORM, form(), ("draw", 1, False, "images.edits", ())),
    ],
)
def test_what_a_request_asks_for(path, headers, body, expected):
    """Model, count, stream and files come from JSON and from forms alike."""
    facts = asked(body, path, headers)

    assert (facts.model, facts.choices, facts.stream, facts.operation, facts.media) == expected
    assert facts.units == (("images", facts.choices),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        EDIT[:-30],
        form((b'name="model"', b"a"), (b'name="model"', b"b")),
        form((b'name="n"', b"many")),
        form((b'name="model"', b"\xff")),
    ],
)
def test_a_form_that_could_be_read_two_ways_is_refused(body):
    """Broken, doubled and odd fields raise, and never pass as some other request."""
    with pytest.raises(NotUnderstood):
        asked(body, headers=FORM)


@given(st.binary(max_size=200))
def test_arbitrary_forms_raise_nothing_else(body):
    """Bytes that are no form are not understood, whatever they are."""
    try:
        asked(b"--Xx-1" + body, headers=FORM)
    except NotUnderstood:
        pass


@pytest.mark.parametrize(
    ("answer", "usage", "parts"),
    [
        ({"data": [{}], "usage": COUNTS}, DRAWN, 1),
        (
            {"data": [{}], "usage": {**COUNTS, "output_tokens_details": {"image_tokens": 4000, "text_tokens": 160}}},
            Usage(input_tokens=60, output_tokens=4160, image_input_tokens=40, image_output_tokens=4000),
            1,
        ),
        (
            {
                "usage": COUNTS,
                "svg_usage": {"model": "gpt-5.4", "input_tokens": 5, "output_tokens": 7, "reasoning_tokens": 3},
            },
            Usage(
                input_tokens=65,
                output_tokens=4167,
                reasoning_tokens=3,
                image_input_tokens=40,
                image_output_tokens=4160,
            ),
            2,
        ),
        ({"created": 1, "data": [{"url": "x"}]}, None, 0),
    ],
)
def test_what_an_answer_used(answer, usage, parts):
    """GPT image models tell tokens, DALL·E nothing; an SVG's writer is a part of its own."""
    found = answered(asked(b'{"model":"gpt-image-1","prompt":"fox"}'), json.dumps(answer).encode())

    assert (found.usage, len(found.parts)) == (usage, parts)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_tells_its_usage_with_the_finished_image(size):
    """Images that are only begun count nothing, in chunks of any size."""
    events = b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in (
            {"type": "image_generation.partial_image", "b64_json": "aaaa", "partial_image_index": 0},
            {"type": "image_generation.completed", "b64_json": "aaaa", "usage": COUNTS},
        )
    )
    chunks = [events[at : at + size] for at in range(0, len(events), size)]
    found = answered(asked(b'{"prompt":"fox","stream":true}'), *chunks, kind="text/event-stream")

    assert (found.usage, found.finished, found.frames) == (DRAWN, True, 2)
