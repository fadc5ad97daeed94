"""Anthropic Messages: ``POST /v1/messages``.

Shapes: anthropic-sdk-python ``anthropic/types``. ``usage.input_tokens`` is only the input that was neither read from
nor written to a cache; a stream tells the input in message_start and running totals in message_delta, which has no
breakdown of cache writes.
"""

import json
from collections.abc import Iterator
from typing import Any

from simulator import prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.refused import Refused, whole_number

PROVIDER = "anthropic"
ID_PREFIX = "msg_"
BROKEN_FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(refused: Refused, request_id: str) -> bytes:
    """The body of an error answer."""
    said = {"type": _KINDS.get(refused.status, "api_error"), "message": refused.message}
    return json.dumps({"type": "error", "error": said, "request_id": request_id}).encode()


def too_long(tokens: int, most: int) -> Refused:
    """What Anthropic says of input beyond the context window."""
    return Refused(400, f"prompt is too long: {tokens} tokens > {most} maximum")


def told_in_metadata(body: dict[str, Any]) -> str:
    """The behaviour that ``metadata.user_id`` asks for, after ``sim:``."""
    metadata = body.get("metadata")
    said = metadata.get("user_id") if isinstance(metadata, dict) else None
    return said.removeprefix("sim:") if isinstance(said, str) and said.startswith("sim:") else ""


def read(body: dict[str, Any]) -> Ask:
    """What the request asks; raises Refused."""
    found = prices.find(PROVIDER, body.get("model"))
    if found is None:
        raise Refused(404, f"model: {body.get('model')}")
    model, served = found
    cap = whole_number(body, "max_tokens", 0)
    if cap is None:
        raise Refused(400, "max_tokens: Field required")
    if cap > model.most_output:
        raise Refused(
            400,
            f"max_tokens: {cap} > {model.most_output}, which is the maximum allowed number of output tokens for {served}",
        )
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise Refused(400, "messages: at least one message is required")
    return Ask(
        model=model,
        served=served,
        stream=bool(body.get("stream")),
        cap=cap,
        text_tokens=count_tokens(body.get("system"), body["messages"], body.get("tools")),
    )


def _input(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    return {
        "input_tokens": used.input - used.cache_read - used.cache_write,
        "cache_creation_input_tokens": used.cache_write,
        "cache_read_input_tokens": used.cache_read,
    }


def _kept(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    return {
        "ephemeral_5m_input_tokens": used.cache_write - used.cache_write_1h,
        "ephemeral_1h_input_tokens": used.cache_write_1h,
    }


def _output(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"output_tokens": answer.usage.output}
    if answer.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": answer.reasoning}
    return told


def usage(answer: Answer) -> dict[str, Any]:
    """The usage block of a unary answer."""
    return {**_input(answer), "cache_creation": _kept(answer), **_output(answer), "service_tier": "standard"}


def _body(answer: Answer, content: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
    }


def _reason(answer: Answer) -> str:
    return "max_tokens" if answer.capped else "end_turn"


def whole(answer: Answer) -> bytes:
    """The unary body."""
    content = [{"type": "text", "text": text(0, answer.shown)}] if answer.shown else []
    body = _body(answer, content, _reason(answer))
    told = answer.tell(usage(answer))
    if told is not None:
        body["usage"] = told
    return json.dumps(body, separators=(",", ":")).encode()


def _event(said: dict[str, Any]) -> bytes:
    return f"event: {said['type']}\ndata: {json.dumps(said, separators=(',', ':'))}\n\n".encode()


def frames(answer: Answer) -> Iterator[tuple[bytes, int]]:
    """The stream's events, each with the tokens it shows."""
    begun = _body(answer, [], None)
    first = {
        **_input(answer),
        "cache_creation": _kept(answer),
        "output_tokens": min(1, answer.usage.output),
        "service_tier": "standard",
    }
    told = answer.tell(first)
    if told is not None:
        begun["usage"] = told
    yield _event({"type": "message_start", "message": begun}), 0
    if answer.shown:
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield _event(block) + _event({"type": "ping"}), 0
        head = (
            "event: content_block_delta\n"
            'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
        )
        for piece, count in answer.pieces():
            yield f'{head}{piece}"}}}}\n\n'.encode(), count
        yield _event({"type": "content_block_stop", "index": 0}), 0
    last: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _reason(answer), "stop_sequence": None},
    }
    told = answer.tell({**_input(answer), **_output(answer)})
    if told is not None:
        last["usage"] = told
    yield _event(last), 0
    yield _event({"type": "message_stop"}), 0
