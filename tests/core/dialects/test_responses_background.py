"""OpenAI's Responses API beyond one exchange: background, polls, compaction, hosted tools."""

import json

import pytest

from wfb_core.dialects import PENDING_RESULT
from wfb_core.dialects.openai_responses import OpenAIResponses
from wfb_core.usage import Usage

RESPONSES = OpenAIResponses()
COUNTS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
USED = Usage(input_tokens=10, output_tokens=5)
SEARCH = {"type": "web_search_call", "status": "completed"}


def told(response, path="/v1/responses/resp_1"):
    """What a response that is read again says."""
    facts, _ = RESPONSES.read_request("GET", path, {}, b"")
    reader = RESPONSES.reader(facts, headers={"content-type": "application/json"})
    reader.feed(json.dumps({"id": "resp_1", "model": "gpt-5.4", **response}).encode())
    return reader.end()


@pytest.mark.parametrize(
    ("path", "stream"),
    [("/v1/responses/resp_1", False), ("/v1/responses/resp_1?stream=true&starting_after=3", True)],
)
def test_a_poll_names_the_response_it_reads(path, stream):
    """The id is the path's, the stream the query's, and there is nothing to cap."""
    facts, document = RESPONSES.read_request("GET", path, {}, b"")

    assert (facts.polls, facts.stream, facts.operation) == ("resp_1", stream, "responses.retrieve")
    assert not RESPONSES.clamp(document, facts, 10)
    assert document == {}


@pytest.mark.parametrize(
    ("response", "usage", "finding"),
    [
        ({"status": "queued", "usage": None}, None, PENDING_RESULT),
        ({"status": "in_progress"}, None, PENDING_RESULT),
        ({"status": "completed", "usage": COUNTS}, USED, None),
        ({"status": "incomplete", "usage": COUNTS}, USED, None),
        ({"object": "response.compaction", "usage": COUNTS}, USED, None),
        ({"status": "cancelled", "usage": None}, None, "usage missing"),
    ],
)
def test_a_response_is_settled_with_its_result(response, usage, finding):
    """Only a response that waits promises a result."""
    answer = told(response)

    assert (answer.usage, answer.finding, answer.response_id) == (usage, finding, "resp_1")


@pytest.mark.parametrize(
    ("response", "searches"),
    [
        ({"output": [{**SEARCH, "action": {"type": "search"}}, {**SEARCH, "action": {"type": "open_page"}}]}, 1),
        ({"output": [SEARCH, SEARCH], "tool_usage": {"web_search": {"num_requests": 3}}}, 3),
        ({"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": "x"}}}, 1),
    ],
)
def test_searches_are_units(response, searches):
    """The provider's own count of searches wins over that of items."""
    assert told({**response, "usage": COUNTS}).usage.units == (("web_searches", searches),)


def test_images_of_a_hosted_tool_are_a_part_of_their_own():
    """Their counts stand beside the response's, at their model's price."""
    drawn = {"input_tokens": 7, "output_tokens": 300, "input_tokens_details": {"image_tokens": 0, "text_tokens": 7}}
    answer = told(
        {
            "usage": COUNTS,
            "tools": [{"type": "image_generation", "model": "gpt-image-2"}],
            "tool_usage": {"image_gen": drawn},
        }
    )

    assert answer.usage == USED
    assert answer.parts == (
        ("gpt-5.4", USED),
        ("gpt-image-2", Usage(input_tokens=7, output_tokens=300, image_output_tokens=300)),
    )


def test_a_compaction_has_no_cap():
    """Its body knows none, so none is put in."""
    facts, document = RESPONSES.read_request("POST", "/v1/responses/compact", {}, b'{"model":"gpt-5.4","input":"Hi"}')

    assert facts.operation == "responses.compact"
    assert not RESPONSES.clamp(document, facts, 10)
    assert "max_output_tokens" not in document
