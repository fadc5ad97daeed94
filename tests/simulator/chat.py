"""OpenAI Chat Completions: ``POST /v1/chat/completions``.

Shapes: openai-python ``openai/types/chat`` and ``openai/types/completion_usage.py``. The usage chunk comes last, with
``choices: []``, only where ``stream_options.include_usage`` asks; the other chunks then carry ``usage: null``.
"""

import json
from collections.abc import Iterator
from typing import Any

from simulator import openai_errors, prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.refused import Refused, whole_number

PROVIDER = "openai"
ID_PREFIX = "chatcmpl-"
BROKEN_FRAME = b'data: {"id":"chatcmpl-broken","choices":[{"ind\n\n'
error = openai_errors.error
too_long = openai_errors.too_long


def told_in_metadata(body: dict[str, Any]) -> str:
    """The behaviour that the request's metadata asks for."""
    metadata = body.get("metadata")
    said = metadata.get("sim") if isinstance(metadata, dict) else None
    return said if isinstance(said, str) else ""


def read(body: dict[str, Any]) -> Ask:
    """What the request asks; raises Refused."""
    found = prices.find(PROVIDER, body.get("model"))
    if found is None:
        raise openai_errors.no_such_model(body.get("model"))
    model, served = found
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise Refused(400, "Missing required parameter: 'messages'.", param="messages")
    stream = bool(body.get("stream"))
    options = body.get("stream_options")
    if options and not stream:
        raise Refused(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    new, old = whole_number(body, "max_completion_tokens", 1), whole_number(body, "max_tokens", 1)
    if new is not None and old is not None:
        raise Refused(400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    cap = old if new is None else new
    if cap is not None and cap > model.most_output:
        raise Refused(
            400,
            f"max_tokens is too large: {cap}. This model supports at most {model.most_output} completion tokens.",
            param="max_tokens",
        )
    return Ask(
        model=model,
        served=served,
        stream=stream,
        cap=cap,
        text_tokens=count_tokens(
            body["messages"], body.get("tools"), body.get("functions"), body.get("response_format")
        ),
        choices=whole_number(body, "n", 1) or 1,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def usage(answer: Answer) -> dict[str, Any]:
    """The usage block: cache and reasoning inside their totals."""
    used = answer.usage
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_write_tokens": used.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(answer: Answer) -> bytes:
    """The unary body."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text(0, answer.shown),
        "refusal": None,
        "annotations": [],
    }
    reason = "length" if answer.capped else "stop"
    body: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index in range(answer.ask.choices)
        ],
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }
    told = answer.tell(usage(answer))
    if told is not None:
        body["usage"] = told
    return json.dumps(body, separators=(",", ":")).encode()


def frames(answer: Answer) -> Iterator[tuple[bytes, int]]:
    """The stream's frames, each with the tokens it shows."""
    asked = answer.ask.include_usage
    head = (
        f'data: {{"id":"{answer.id}","object":"chat.completion.chunk","created":{answer.created},'
        f'"model":"{answer.model}","service_tier":"default","system_fingerprint":"fp_simulator","choices":'
    )
    tail = ',"usage":null}\n\n' if asked else "}\n\n"
    indexes = range(answer.ask.choices)

    def frame(index: int, delta: str, reason: str) -> bytes:
        choice = f'[{{"index":{index},"delta":{{{delta}}},"logprobs":null,"finish_reason":{reason}}}]'
        return f"{head}{choice}{tail}".encode()

    for index in indexes:
        yield frame(index, '"role":"assistant","content":"","refusal":null', "null"), 0
    for piece, count in answer.pieces():
        for index in indexes:
            yield frame(index, f'"content":"{piece}"', "null"), count
    for index in indexes:
        yield frame(index, "", '"length"' if answer.capped else '"stop"'), 0
    told = answer.tell(usage(answer)) if asked else None
    if told is not None:
        yield f'{head}[],"usage":{json.dumps(told, separators=(",", ":"))}}}\n\n'.encode(), 0
    yield b"data: [DONE]\n\n", 0
