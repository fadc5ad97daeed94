"""Anthropic Messages: ``POST /v1/messages``, Vertex's ``rawPredict`` and ``streamRawPredict``, Bedrock's native body.

Shapes: anthropic-sdk-python ``anthropic/types``. ``usage.input_tokens`` is only the input that was neither read from
nor written to a cache; a stream tells the input in message_start and running totals in message_delta, which has no
breakdown of cache writes.
"""

import json
from collections.abc import Iterator
from typing import Any

from simulator import prices
from simulator.answer import ALL, Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.framing import packed
from simulator.refused import Refused, whole_number
from simulator.shape import Shape

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


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


def body(answer: Answer) -> dict[str, Any]:
    """The unary answer."""
    content = [{"type": "text", "text": text(0, answer.shown)}] if answer.shown else []
    said = _body(answer, content, _reason(answer))
    told = answer.tell(usage(answer))
    return said if told is None else {**said, "usage": told}


def events(answer: Answer) -> Iterator[tuple[dict[str, Any], int]]:
    """The stream's events as objects, each with the tokens it shows."""
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
    yield {"type": "message_start", "message": begun}, 0
    if answer.shown:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, 0
        yield {"type": "ping"}, 0
        for piece, count in answer.pieces():
            delta = {"type": "text_delta", "text": piece}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}, count
        yield {"type": "content_block_stop", "index": 0}, 0
    last: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _reason(answer), "stop_sequence": None},
    }
    told = answer.tell({**_input(answer), **_output(answer)})
    if told is not None:
        last["usage"] = told
    yield last, 0
    yield {"type": "message_stop"}, 0


def input_tokens(said: dict[str, Any]) -> int:
    """Input tokens of a request's text."""
    return count_tokens(said.get("system"), said.get("messages"), said.get("tools"))


def ask(asked: Asked, named: object, *, stream: bool) -> Ask:
    """What a request for a model asks; raises Refused."""
    said = asked.body
    found = prices.find(asked.provider, named)
    if found is None:
        raise Refused(404, f"model: {named}")
    model, served = found
    cap = whole_number(said, "max_tokens", 0)
    if cap is None:
        raise Refused(400, "max_tokens: Field required")
    if cap > model.most_output:
        raise Refused(
            400,
            f"max_tokens: {cap} > {model.most_output}, which is the maximum allowed number of output tokens for {served}",
        )
    if not isinstance(said.get("messages"), list) or not said["messages"]:
        raise Refused(400, "messages: at least one message is required")
    return Ask(model, served, stream, cap, input_tokens(said), tells=ALL, named=str(named), asked=asked)


class Messages(Shape):
    """The Messages API."""

    id_prefix = "msg_"
    request_id_header = "request-id"

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """The behaviour that ``metadata.user_id`` asks for, after ``sim:``."""
        metadata = body.get("metadata")
        said = metadata.get("user_id") if isinstance(metadata, dict) else None
        return said.removeprefix("sim:") if isinstance(said, str) and said.startswith("sim:") else ""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        if asked.action.endswith("awPredict"):  # Vertex: model and streaming are in the path
            return ask(asked, asked.names[-1], stream=asked.action == "streamRawPredict")
        return ask(asked, asked.body.get("model"), stream=bool(asked.body.get("stream")))

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        return packed(body(answer)).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's events, each with the tokens it shows."""
        held = b""
        for said, count in events(answer):
            frame = f"event: {said['type']}\ndata: {packed(said)}\n\n".encode()
            if said["type"] == "content_block_start":
                held = frame  # it goes with the ping that follows it
            else:
                yield held + frame, count
                held = b""

    def broken_frame(self, answer: Answer) -> bytes:
        """A frame that cannot be read."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The failure as an event."""
        return b"event: error\n" + super().failed_frame(answer, refused)

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        said = {"type": _KINDS.get(refused.status, "api_error"), "message": refused.message}
        return json.dumps({"type": "error", "error": said, "request_id": request_id}).encode()

    def too_long(self, tokens: int, most: int) -> Refused:
        """What Anthropic says of input beyond the context window."""
        return Refused(400, f"prompt is too long: {tokens} tokens > {most} maximum")


MESSAGES = Messages()
