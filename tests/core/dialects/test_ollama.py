"""Ollama's own API: requests, answers by the line and whole, refusals, and streams that must stop."""

import json
import pathlib

import pytest

from wfb_core.call import CallFacts
from wfb_core.dialects.ollama import Ollama
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

SAMPLES = pathlib.Path(__file__).parent / "samples/ollama"
LINES = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json; charset=utf-8"}
OLLAMA = Ollama()


def facts(operation="chat", stream=True):
    """The facts of a call."""
    return CallFacts("ollama", "ollama", operation, "asked", stream, None)


def answer(body, stream=True, headers=LINES, operation="chat"):
    """The Answer that a body in one chunk makes."""
    reader = OLLAMA.reader(facts(operation, stream), False, headers)
    assert reader.feed(body) + reader.feed(b"") == body
    return reader.end()


@pytest.mark.parametrize(
    ("name", "usage", "model", "finished"),
    [
        ("stream.ndjson", Usage(input_tokens=926, cache_read_tokens=512, output_tokens=82), "gpt-oss:20b", True),
        ("stream_generate.ndjson", Usage(input_tokens=26, output_tokens=290), "qwen3.5:9b", True),
        ("stream_cut.ndjson", None, "gpt-oss:20b", False),
        ("stream_error.ndjson", None, "gpt-oss:20b", False),
        ("unary.json", Usage(input_tokens=26, output_tokens=298), "llama3.3", True),
        ("unary_embed.json", Usage(input_tokens=8), "all-minilm", True),
    ],
)
def test_the_last_object_counts(name, usage, model, finished):
    """Totals, model and end of every sample."""
    stream = name.endswith(".ndjson")
    told = answer((SAMPLES / name).read_bytes(), stream, LINES if stream else JSON)

    assert (told.usage, told.served_model, told.finished) == (usage, model, finished)
    assert told.failed == ("error" in name)
    assert (told.finding is None) == (usage is not None)


@pytest.mark.parametrize(
    ("last", "usage", "finding"),
    [
        ({"eval_count": 3}, Usage(output_tokens=3), None),  # before 0.3, where the prompt was cached
        ({"prompt_eval_count": 3}, Usage(input_tokens=3), None),  # zeros are left out
        ({"done_reason": "load"}, Usage(), None),
        ({}, None, "usage missing"),
        ({"prompt_eval_count": 5, "prompt_eval_cached_count": 9}, Usage(input_tokens=5, cache_read_tokens=5), None),
        ({"prompt_eval_count": -5, "eval_count": 1}, None, "usage malformed: prompt_eval_count is out of range"),
        ({"prompt_eval_count": "5", "eval_count": 1}, None, "usage malformed: prompt_eval_count is no whole number"),
        ({"image": "iVBORw0=", "done_reason": "stop"}, Usage(units=(("images", 1),)), None),
    ],
)
def test_counts_that_are_missing_or_nonsense(last, usage, finding):
    """What was left out is zero where another count stands; a part never exceeds its whole; the rest is a finding."""
    told = answer(json.dumps({"model": "m", "done": True, **last}).encode() + b"\n")

    assert (told.usage, told.finding) == (usage, finding)


def test_counts_and_errors_count_in_any_line():
    """A line that is not the last may carry them, too, and what comes later wins."""
    head = {"model": "m", "response": "a", "done": False}
    lines = [head, head | {"prompt_eval_count": 4, "eval_count": 1}, head, head | {"error": "it broke"}]
    body = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)

    told = answer(body)

    assert (told.usage, told.failed, told.finished) == (Usage(input_tokens=4, output_tokens=1), True, False)
    assert answer(body + b'{"prompt_eval_count":4,"eval_count":3,"done":true}').usage.output_tokens == 3


def test_text_that_looks_like_counts_is_text():
    """Words of the protocol inside a string are measured, never read."""
    stream = (SAMPLES / "stream.ndjson").read_bytes()
    texts = ['The user "greets"', "Grüße, ", '"done":true \\ eval_count', "lookup", "a\nb", "assistant"]

    told = answer(stream)

    assert told.frames == 5
    assert told.output_bytes_seen >= sum(len(text.encode()) for text in texts)
    assert told.output_bytes_seen < len(stream)


def test_lines_are_read_under_any_name():
    """With a type that is missing or wrong the counts are the same."""
    body = (SAMPLES / "stream.ndjson").read_bytes()
    for kind in ({}, {"content-type": "text/plain"}, JSON, {"content-type": "text/event-stream"}):
        assert answer(body, headers=kind) == answer(body)


@pytest.mark.parametrize(
    ("path", "body", "operation", "stream", "cap"),
    [
        ("/api/chat", {"messages": [{"role": "user", "content": "hi"}]}, "chat", True, None),
        ("/api/chat?x=1", {"stream": False, "options": {"num_predict": 50}}, "chat", False, 50),
        ("/api/generate", {"prompt": "hi", "stream": None, "options": {"num_predict": -1}}, "generate", True, None),
        ("/api/embed", {"input": ["a", "b"], "options": {"num_predict": 5}}, "embed", False, None),
        ("/api/embeddings/", {"prompt": "a"}, "embeddings", False, None),
    ],
)
def test_a_request_is_a_stream_unless_it_says_no(path, body, operation, stream, cap):
    """Operation from the path, stream by default, and the cap where there is one."""
    read, document = OLLAMA.read_request("POST", path, {}, json.dumps({"model": "m", **body}).encode())

    assert (read.operation, read.model, read.stream, read.cap) == (operation, "m", stream, cap)
    assert document["model"] == "m"


def test_images_are_media_and_all_text_is_counted():
    """Payloads are not text; prompts, tools and earlier turns are."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x" * 100, "images": ["A" * 400]}],
        "tools": [{"type": "function", "function": {"name": "y" * 50}}],
        "format": {"type": "object"},
        "think": "high",
    }
    read, _ = OLLAMA.read_request("POST", "/api/chat", {}, json.dumps(body).encode())

    assert read.media == (("image", 300),)
    assert 150 <= read.input_bytes < 300
    assert (read.messages, read.tools, read.reasoning) == (1, 1, True)

    body = {"model": "m", "prompt": "x" * 100, "system": "y" * 10, "context": [1] * 40, "images": ["AAAA"]}
    read, _ = OLLAMA.read_request("POST", "/api/generate", {}, json.dumps(body).encode())

    assert read.media == (("image", 3),)
    assert 150 <= read.input_bytes < 200


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/pull", {"model": "m"}, "operation"),
        ("/api/chat", {}, "model"),
        ("/api/chat", {"model": "m", "messages": 4}, "messages"),
        ("/api/chat", {"model": "m", "stream": "no"}, "stream"),
        ("/api/chat", {"model": "m", "options": {"num_predict": "5"}}, "num_predict"),
    ],
)
def test_a_request_that_is_not_understood_says_why(path, body, word):
    """One sentence that names the field."""
    with pytest.raises(NotUnderstood, match=word):
        OLLAMA.read_request("POST", path, {}, json.dumps(body).encode())


def test_the_cap_is_lowered_in_the_options():
    """Other options stay, a lower cap stays, and embeddings have none."""
    read, document = OLLAMA.read_request(
        "POST", "/api/chat", {}, b'{"model":"m","options":{"num_predict":90,"seed":1}}'
    )

    assert OLLAMA.clamp(document, read, 50)
    assert document["options"] == {"num_predict": 50, "seed": 1}
    assert OLLAMA.clamp(document, read, 100)
    assert document["options"]["num_predict"] == 90
    read, document = OLLAMA.read_request("POST", "/api/embed", {}, b'{"model":"m","input":"x"}')
    assert not OLLAMA.clamp(document, read, 50)
    assert "options" not in document


@pytest.mark.parametrize(("operation", "name"), [("chat", "stream.ndjson"), ("generate", "stream_generate.ndjson")])
def test_a_stream_ends_with_a_line_of_its_own(operation, name):
    """Wherever it is stopped, the lines handed on are whole and the last says that the cap was reached."""
    stream = (SAMPLES / name).read_bytes()
    for stop in range(0, stream.rindex(b"\n", 0, -1), 13):
        reader = OLLAMA.reader(facts(operation), False, LINES)
        out = reader.feed(stream[:stop])
        ending = reader.finish_early()
        out += ending or reader.feed(stream[stop:])
        assert reader.feed(b"late") == b""

        lines = [json.loads(line) for line in out.splitlines()]
        assert (lines[-1]["done"], lines[-1]["done_reason"]) == (True, "length")
        assert ("message" in lines[-1]) == (operation == "chat")
        assert not any(line["done"] for line in lines[:-1])


def test_a_refusal_is_an_error_that_the_sdk_reads():
    """A text in `error`, the budget beside it."""
    status, headers, body = OLLAMA.refusal("BudgetExhausted", "no money", 402, {"budget": "b"})

    assert (status, headers["x-should-retry"]) == (402, "false")
    assert json.loads(body) == {"error": "no money", "budget": {"reason": "BudgetExhausted", "budget": "b"}}
