"""Anthropic's Message Batches: created with all their requests, billed with their results."""

import json

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects import PENDING_RESULT
from wfb_core.dialects.anthropic_batches import AnthropicBatches
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

BATCHES = AnthropicBatches()
HAIKU, OPUS = "claude-haiku-4-5-20251001", "claude-opus-4-8"


def result(custom_id, model=HAIKU, **counts):
    """One line of results that succeeded."""
    usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch", **counts}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}


ERRORED = {
    "custom_id": "bad",
    "result": {
        "type": "errored",
        "error": {"type": "error", "request_id": None, "error": {"type": "invalid_request_error", "message": "no"}},
    },
}
EXPIRED = {"custom_id": "late", "result": {"type": "expired"}}
ONE = Usage(input_tokens=10, output_tokens=5)


def answer(*lines, kind="application/x-jsonl", size=10**9, polls="batch_1", end=b"\n"):
    """The Answer that lines of results make, in chunks of a size."""
    facts = CallFacts("anthropic-batches", "anthropic", "", "", polls is not None, None, tier="batch", polls=polls)
    body = b"".join(json.dumps(line).encode() + end for line in lines)
    reader = BATCHES.reader(facts, False, {"content-type": kind} if kind else {})
    out = b"".join(reader.feed(body[i : i + size]) for i in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def read(*requests):
    """(facts, document) of a batch of these params."""
    body = {"requests": [{"custom_id": str(i), "params": params} for i, params in enumerate(requests)]}
    return BATCHES.read_request("POST", "/v1/messages/batches", {}, json.dumps(body).encode())


def test_samples_have_the_shape_that_the_sdk_declares():
    """The lines that these tests are made of validate against the SDK's own model."""
    for line in (result("a"), ERRORED, EXPIRED):
        MessageBatchIndividualResponse.model_validate(line)


@pytest.mark.parametrize("kind", ["application/x-jsonl", "application/binary", "application/octet-stream", None])
@pytest.mark.parametrize("size", [10**9, 1])
def test_results_are_summed_by_model(kind, size):
    """Each model's usage is a part of its own, priced as batch; results that failed are free; ids that repeat still count."""
    lines = [
        result("a", cache_read_input_tokens=90, server_tool_use={"web_search_requests": 2, "web_fetch_requests": 0}),
        ERRORED,
        result("b", OPUS),
        EXPIRED,
        result("c"),
    ]
    told = answer(*lines, kind=kind, size=size)

    haiku = Usage(input_tokens=110, cache_read_tokens=90, output_tokens=10, units=(("web_searches", 2),))
    assert dict(told.parts) == {HAIKU: haiku, OPUS: ONE}
    assert (told.usage.input_tokens, told.usage.output_tokens, told.usage.units) == (120, 15, haiku.units)
    assert (told.tier, told.response_id, told.finding, told.finished) == ("batch", "batch_1", None, True)


@pytest.mark.parametrize("end", [b"\n", b""])
def test_one_result_is_a_batch_too(end):
    """A single line, ended or not, is read as lines are, whatever its type."""
    for kind in ("application/x-jsonl", "application/json", None):
        told = answer(result("a"), kind=kind, end=end)
        assert (told.usage, told.served_model) == (ONE, HAIKU)


def test_a_batch_that_only_failed_costs_nothing():
    """Errored and expired requests leave a usage of zero, which is no missing one."""
    told = answer(ERRORED, EXPIRED)

    assert (told.usage, told.finding) == (Usage(), None)


def test_a_result_that_cannot_be_read_leaves_no_sum():
    """A sum that leaves a result out would be too low."""
    told = answer(result("a"), result("b", input_tokens="many"), result("c"))

    assert told.usage is None
    assert told.finding == "usage malformed: usage malformed: input_tokens is no whole number"


def test_a_batch_that_is_created_is_a_result_to_come():
    """The answer names the batch whose results a later GET reads."""
    told = answer(
        {"id": "batch_1", "type": "message_batch", "processing_status": "in_progress"},
        kind="application/json",
        polls=None,
    )

    assert (told.usage, told.finding, told.response_id) == (None, PENDING_RESULT, "batch_1")


def test_a_batch_asks_for_the_sum_of_its_requests():
    """Caps, text, messages and tools are summed; the tier is batch."""
    one = {"model": HAIKU, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    single, _ = read(one)
    told, document = read(one, {**one, "max_tokens": 50, "tools": [{"name": "f"}, {"type": "web_search_20250305"}]})

    assert (told.model, told.cap, told.tier, told.stream) == (HAIKU, 150, "batch", False)
    assert (told.messages, told.tools, told.unbounded) == (2, 2, ("web_search",))
    assert told.input_bytes > 2 * single.input_bytes
    assert not BATCHES.clamp(document, told, 10)
    BATCHES.with_model(document, "/p", "small")
    assert {request["params"]["model"] for request in document["requests"]} == {"small"}


def test_a_batch_of_several_models_is_not_bounded_by_one():
    """What only the first model's price would bound is said to be unbounded."""
    one = {"model": HAIKU, "max_tokens": 1, "messages": []}

    assert read(one, {**one, "model": OPUS})[0].unbounded == ("several_models",)


def test_results_poll_a_batch():
    """The batch's id in the path is what is asked after."""
    told, _ = BATCHES.read_request("GET", "/v1/messages/batches/batch%5F1/results", {}, b"")

    assert (told.polls, told.tier) == ("batch_1", "batch")


@pytest.mark.parametrize("body", [b'{"requests":[]}', b'{"requests":[{}]}', b'{"requests":[{"params":{}}]}', b"{}"])
def test_a_batch_without_requests_is_not_understood(body):
    """Nothing to send, or nothing to send it to, is an error."""
    with pytest.raises(NotUnderstood):
        BATCHES.read_request("POST", "/v1/messages/batches", {}, body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "batch_1"]))
def test_no_bytes_make_a_reader_fail(body, polls):
    """Arbitrary bytes never raise."""
    facts = CallFacts("anthropic-batches", "anthropic", "", "", polls is not None, None, polls=polls)
    reader = BATCHES.reader(facts, False, {})
    assert reader.feed(body) + reader.feed(b"") == body
    assert not (reader.end().finding or "").startswith("reader failed")
