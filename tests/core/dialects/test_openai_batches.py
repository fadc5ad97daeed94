"""OpenAI's Batch API: a creation promises a result, a poll tells it."""

import json

import pytest

from wfb_core.dialects import PENDING_RESULT
from wfb_core.dialects.openai_batches import OpenAIBatches
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

BATCHES = OpenAIBatches()
CREATE = b'{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}'
COUNTS = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 30},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 150,
}
USED = Usage(input_tokens=100, cache_read_tokens=30, output_tokens=50, reasoning_tokens=20)


def polled(**batch):
    """What a batch that is read again says."""
    facts, _ = BATCHES.read_request("GET", "/v1/batches/batch_1?x=1", {}, b"")
    reader = BATCHES.reader(facts, headers={"content-type": "application/json"})
    reader.feed(json.dumps({"id": "batch_1", "object": "batch", **batch}).encode())
    return facts, reader.end()


def test_a_creation_shows_neither_model_nor_bound():
    """The requests stand in a file, so nothing bounds the batch."""
    facts, _ = BATCHES.read_request("POST", "/v1/batches", {}, CREATE)

    assert (facts.operation, facts.model, facts.unbounded, facts.tier) == ("batches", "", ("batch",), "batch")
    with pytest.raises(NotUnderstood):
        BATCHES.read_request("POST", "/v1/batches", {}, b"{}")


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_a_batch_under_way_promises_a_result(status):
    """Counts of a batch that has not ended are not final."""
    facts, answer = polled(status=status, usage=COUNTS)

    assert (facts.polls, answer.usage, answer.finding) == ("batch_1", None, PENDING_RESULT)
    assert answer.response_id == "batch_1"


@pytest.mark.parametrize(
    ("batch", "usage"),
    [
        ({"status": "completed", "usage": COUNTS}, USED),
        ({"status": "expired", "usage": COUNTS}, USED),
        ({"status": "cancelled", "usage": COUNTS}, USED),
        ({"status": "cancelled", "request_counts": {"completed": 0, "failed": 0, "total": 9}}, Usage()),
        ({"status": "failed"}, Usage()),
        ({"status": "completed"}, None),
        ({"status": "completed", "usage": {"input_tokens": -1, "output_tokens": 1}}, None),
    ],
)
def test_a_batch_that_has_ended_tells_its_usage(batch, usage):
    """Whatever its end, what was done is billed at the batch tier, by the model it names."""
    _, answer = polled(model="gpt-5.4-2026-03-05", **batch)

    assert (answer.usage, answer.tier, answer.served_model) == (usage, "batch", "gpt-5.4-2026-03-05")


@pytest.mark.parametrize("status", [None, 3, {}, [], "new word"])
def test_a_status_that_is_none_fails_nothing(status):
    """Nonsense in place of a state leaves no usage, and no failure of ours."""
    _, answer = polled(status=status, usage=COUNTS)

    assert answer.usage is None
    assert answer.finding in {"usage missing", PENDING_RESULT}
