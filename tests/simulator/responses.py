"""OpenAI Responses: ``POST …/responses``, and ``GET …/responses/{id}`` for one in the background.

Shapes: openai-python ``openai/types/responses``. A stream's last event is ``response.completed`` or, at the cap,
``response.incomplete``, with the whole response and its usage; there is no ``[DONE]``.
"""

import json
from collections.abc import Iterator
from typing import Any

from simulator import openai_errors
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.chat import named_model
from simulator.framing import packed
from simulator.refused import Refused, whole_number
from simulator.shape import Shape


def usage(answer: Answer) -> dict[str, Any]:
    """The usage block: cache and reasoning inside their totals."""
    used = answer.usage
    return {
        "input_tokens": used.input,
        "input_tokens_details": {"cached_tokens": used.cache_read, "cache_write_tokens": used.cache_write},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.input + used.output,
    }


def _message(answer: Answer, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{answer.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _reasoning(answer: Answer) -> dict[str, Any]:
    return {"id": f"rs_{answer.id}", "type": "reasoning", "summary": []}


def _in_background(answer: Answer) -> bool:
    return bool(answer.ask.asked and answer.ask.asked.body.get("background"))


def _response(answer: Answer, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    ended = status not in {"in_progress", "queued"}
    body: dict[str, Any] = {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": _in_background(answer),
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": answer.ask.cap,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default" if ended else "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }
    if ended:
        told = answer.tell(usage(answer))
        if told is None:
            del body["usage"]
        else:
            body["usage"] = told
    return body


def _ended(answer: Answer) -> dict[str, Any]:
    status = "incomplete" if answer.capped else "completed"
    output = [_reasoning(answer)] if answer.reasoning else []
    if answer.shown:
        output.append(_message(answer, status, [_part(text(0, answer.shown))]))
    return _response(answer, status, output)


class Responses(Shape):
    """The Responses API."""

    id_prefix = "resp_"

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body = asked.body
        model, served, named = named_model(asked)
        if not body.get("input"):
            raise Refused(400, "Missing required parameter: 'input'.", param="input")
        return Ask(
            model=model,
            served=served,
            stream=bool(body.get("stream")),
            cap=whole_number(body, "max_output_tokens", 1),
            text_tokens=count_tokens(body["input"], body.get("instructions"), body.get("tools"), body.get("text")),
            named=named,
            asked=asked,
        )

    def whole(self, answer: Answer) -> bytes:
        """The unary body; a response in the background is only queued."""
        return packed(_response(answer, "queued", []) if _in_background(answer) else _ended(answer)).encode()

    def polls(self, answer: Answer) -> list[bytes]:
        """What is found later: for some time a response in progress, then the whole of it."""
        if not _in_background(answer):
            return []
        working = packed(_response(answer, "in_progress", [])).encode()
        return [*[working] * answer.behaviour.polls, packed(_ended(answer)).encode()]

    def broken_frame(self, answer: Answer) -> bytes:
        """A frame that cannot be read."""
        return b'event: response.output_text.delta\ndata: {"type":"response.output_text.del\n\n'

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The failure as an event."""
        said = {"type": "error", "code": "server_error", "message": refused.message, "param": None}
        return f"event: error\ndata: {packed({**said, 'sequence_number': 99})}\n\n".encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's events, each with the tokens it shows."""
        number = -1

        def event(kind: str, said: dict[str, Any]) -> bytes:
            """One event."""
            nonlocal number
            number += 1
            data = json.dumps({"type": kind, "sequence_number": number, **said}, separators=(",", ":"))
            return f"event: {kind}\ndata: {data}\n\n".encode()

        begun = _response(answer, "in_progress", [])
        yield event("response.created", {"response": begun}), 0
        yield event("response.in_progress", {"response": begun}), 0
        place = 0
        if answer.reasoning:
            item = _reasoning(answer)
            yield event("response.output_item.added", {"output_index": place, "item": item}), 0
            yield event("response.output_item.done", {"output_index": place, "item": item}), 0
            place += 1
        if answer.shown:
            at = {"item_id": f"msg_{answer.id}", "output_index": place, "content_index": 0}
            added = {"output_index": place, "item": _message(answer, "in_progress", [])}
            yield event("response.output_item.added", added), 0
            yield event("response.content_part.added", {**at, "part": _part("")}), 0
            head = (
                f'event: response.output_text.delta\ndata: {{"type":"response.output_text.delta",{json.dumps(at)[1:-1]}'
            )
            for piece, count in answer.pieces():
                number += 1
                yield f'{head},"logprobs":[],"sequence_number":{number},"delta":"{piece}"}}\n\n'.encode(), count
            words = text(0, answer.shown)
            status = "incomplete" if answer.capped else "completed"
            yield event("response.output_text.done", {**at, "text": words, "logprobs": []}), 0
            yield event("response.content_part.done", {**at, "part": _part(words)}), 0
            done = {"output_index": place, "item": _message(answer, status, [_part(words)])}
            yield event("response.output_item.done", done), 0
        ended = _ended(answer)
        yield event(f"response.{ended['status']}", {"response": ended}), 0

    error = openai_errors.error
    too_long = openai_errors.too_long


RESPONSES = Responses()
