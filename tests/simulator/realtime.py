"""OpenAI's Realtime and Gemini Live: a session over a WebSocket, in text; every response is billed by itself.

Shapes: openai-python ``types/realtime``, google-genai ``types.LiveServerMessage``.
"""

import json
from typing import Any

from simulator import prices
from simulator.answer import Answer, Ask, count_tokens
from simulator.asked import Asked
from simulator.websocket import WebSocket


async def openai_realtime(provider: Any, socket: WebSocket, asked: Asked) -> None:
    """``GET /v1/realtime?model=``: answers every ``response.create``."""
    found = prices.find("openai", asked.query.get("model"))
    if found is None:
        socket.close(4000, "invalid_request_error.model_not_found")
        return
    model, served = found
    session = {"type": "realtime", "object": "realtime.session", "id": "sess_simulator", "model": served}
    socket.send({"type": "session.created", "event_id": "event_0", "session": session})
    said: list[object] = []
    async for raw in socket.messages():
        event = json.loads(raw)
        if event.get("type") == "session.update":
            socket.send({"type": "session.updated", "event_id": "event_1", "session": session})
        elif event.get("type") == "conversation.item.create":
            said.append(event.get("item"))
            socket.send({"type": "conversation.item.added", "event_id": "event_2", "item": event.get("item")})
        elif event.get("type") == "response.create":
            tells = frozenset({"cache_read"})
            ask = Ask(model, served, True, None, count_tokens(*said), tells=tells, named=served, asked=asked)
            with provider.answering("resp_", ask, asked) as answer:
                _openai_response(socket, answer)


def _openai_response(socket: WebSocket, answer: Answer) -> None:
    used = answer.usage
    body: dict[str, Any] = {"id": answer.id, "object": "realtime.response", "status": "in_progress", "output": []}
    at = {"response_id": answer.id, "item_id": f"item_{answer.id}", "output_index": 0, "content_index": 0}
    socket.send({"type": "response.created", "event_id": "event_3", "response": body})
    for piece, _ in answer.pieces():
        socket.send({"type": "response.output_text.delta", "event_id": "event_4", **at, "delta": piece})
    cached = {"text_tokens": used.cache_read, "audio_tokens": 0, "image_tokens": 0}
    usage = {
        "total_tokens": used.input + used.output,
        "input_tokens": used.input,
        "output_tokens": used.output,
        "input_token_details": {
            "text_tokens": used.input,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": used.cache_read,
            "cached_tokens_details": cached,
        },
        "output_token_details": {"text_tokens": used.output, "audio_tokens": 0},
    }
    ended = {**body, "status": "completed"}
    told = answer.tell(usage)
    if told is not None:
        ended["usage"] = told
    socket.send({"type": "response.done", "event_id": "event_5", "response": ended})


async def gemini_live(provider: Any, socket: WebSocket, asked: Asked) -> None:
    """``BidiGenerateContent``: a setup, then an answer to every complete turn."""
    found: tuple[prices.Model, str] | None = None
    async for raw in socket.messages():
        said = json.loads(raw)
        if "setup" in said:
            found = prices.find("google", str(said["setup"].get("model")).rpartition("/")[2])
            if found is None:
                socket.close(1008, "models/ is not found")
                return
            socket.send({"setupComplete": {}}, binary=True)
            continue
        turn, live = said.get("clientContent") or {}, said.get("realtimeInput") or {}
        if found is None or not (turn.get("turnComplete") or live.get("text")):
            continue
        model, served = found
        tokens = count_tokens(turn.get("turns"), live.get("text"))
        ask = Ask(model, served, True, None, tokens, tells=frozenset({"reasoning"}), named=served, asked=asked)
        with provider.answering("", ask, asked) as answer:
            _live_turn(socket, answer)


def _live_turn(socket: WebSocket, answer: Answer) -> None:
    used = answer.usage
    for piece, _ in answer.pieces():
        socket.send({"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": piece}]}}}, binary=True)
    socket.send({"serverContent": {"generationComplete": True}}, binary=True)
    usage: dict[str, Any] = {
        "promptTokenCount": used.input,
        "responseTokenCount": used.output - used.reasoning,
        "totalTokenCount": used.input + used.output,
    }
    if used.reasoning:
        usage["thoughtsTokenCount"] = used.reasoning
    told = answer.tell(usage)
    last: dict[str, Any] = {"serverContent": {"turnComplete": True}}
    socket.send(last if told is None else {**last, "usageMetadata": told}, binary=True)
