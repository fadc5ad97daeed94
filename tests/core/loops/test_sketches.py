"""Sketches of requests: what counts as nearly the same, and that nothing can be read from one."""

import random

import pytest

from wfb_core.loops import sketch_of

KEY = bytes(range(32))
WORDS = [a + b + c for a in "bdfgklm" for b in "aeiou" for c in ("na", "ro", "ti", "lu", "se")]


def text(seed, words=60):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def turn(result, said="let me try", role="tool", **more):
    """A conversation whose last two messages are an answer and a tool's result."""
    messages = [
        {"role": "system", "content": text(0)},
        {"role": "user", "content": text(1)},
        {"role": "assistant", "content": said},
        {"role": role, "content": result, **more},
    ]
    return {"model": "gpt-4o", "messages": messages}


def first(content):
    return {"messages": [{"role": "system", "content": text(0)}, {"role": "user", "content": content}]}


ANTHROPIC = {
    "messages": [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"q": text(3, 20)}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": text(4)}]},
    ]
}
GEMINI = {
    "contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"q": text(3, 20)}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"text": text(4)}}}]},
    ]
}
RESPONSES = {
    "input": [
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": text(3, 20)},
        {"type": "function_call_output", "call_id": "c1", "output": text(4)},
    ]
}

PAIRS = {
    "the same turn": (turn(text(2)), turn(text(2)), True),
    "another time and id in it": (
        turn(f"{text(2)} at 2026-11-03T12:00:07Z req_9f3a1b"),
        turn(f"{text(2)} at 2026-11-04T09:41:55Z req_77c0de"),
        True,
    ),
    "a word replaced here and there": (turn(text(2)), turn(text(2).replace("ba", "xy", 2)), True),
    "another result": (turn(text(2)), turn(text(5)), False),
    "the same result of two short words": (turn("no results", ""), turn("no results", ""), True),
    "other short words": (turn("no results", ""), turn("two results", ""), False),
    "two pieces of work with the same instructions": (first(text(2) + " one"), first(text(2) + " two"), False),
    "one piece of work, asked twice": (first(text(2)), first(text(2)), True),
    "a first turn and a later one": (first(text(2)), turn(text(2), ""), False),
    "one Anthropic turn with another id": (
        ANTHROPIC,
        {
            "messages": [
                ANTHROPIC["messages"][0],
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9", "content": text(4)}]},
            ]
        },
        True,
    ),
    "one Gemini turn": (GEMINI, GEMINI, True),
    "one Responses turn with another id": (
        RESPONSES,
        {"input": [RESPONSES["input"][0], {**RESPONSES["input"][1], "call_id": "c2"}]},
        True,
    ),
    "text without spaces between its words": (
        turn("発注書の日付が無効です。" * 6),
        turn("発注書の日付が無効です。" * 6),
        True,
    ),
}


@pytest.mark.parametrize(("one", "other", "alike"), PAIRS.values(), ids=PAIRS)
def test_what_is_nearly_the_same(one, other, alike):
    """Ids, times and a few words make no difference; another result, and another piece of work, do."""
    a, b = sketch_of(one, KEY), sketch_of(other, KEY)
    assert a.alike(b) is alike
    assert b.alike(a) is alike


@pytest.mark.parametrize(
    "document",
    [{}, {"messages": []}, {"messages": [{"role": "system", "content": "x"}]}, {"messages": "", "x": 1}, {"input": 7}],
    ids=str,
)
def test_what_cannot_be_compared_has_no_sketch(document):
    """No messages, or only instructions: nothing is like anything."""
    assert sketch_of(document, KEY) is None


def test_a_sketch_is_nothing_without_its_key():
    """Another process makes other marks of the same request, all of them: nobody can look a text up."""
    document = turn(text(2))
    assert not sketch_of(document, KEY).marks & sketch_of(document, bytes(32)).marks


def test_a_sketch_is_small_whatever_the_request():
    """A megabyte in one message costs a few marks, and is not read through."""
    assert len(sketch_of(turn(text(2, 200_000)), KEY).marks) <= 16
    assert len(sketch_of(first(text(2, 200_000)), KEY).marks) == 1


FAILED = {
    "said so by Anthropic": (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "is_error": True, "content": "no"}]}]},
        True,
    ),
    "said so by Bedrock": (
        {"messages": [{"role": "user", "content": [{"toolResult": {"status": "error", "content": [{"text": "no"}]}}]}]},
        True,
    ),
    "its first words": (turn("Error: timed out"), True),
    "words far into a page": (turn(text(2) + " error"), False),
    "a user who talks of an error": (turn("there is an error in it", role="user"), False),
    "a good result": (turn(text(2)), False),
}


@pytest.mark.parametrize(("document", "failed"), FAILED.values(), ids=FAILED)
def test_a_tool_that_failed(document, failed):
    """As the dialect says it, or as the result's first words do; a person's words are no result."""
    assert sketch_of(document, KEY).tool_failed is failed
