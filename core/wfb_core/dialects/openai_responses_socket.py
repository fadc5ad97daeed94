"""OpenAI's Responses API over a WebSocket: one request a message, its events as they would stream.

Facts are from openai-python 3.54 (types/responses/responses_client_event.py, response_completed_event.py): a message of
type `response.create` holds a request's body; answers come in lanes, told apart by `stream_id`, where there are several.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import Answer, told
from wfb_core.dialects.openai_responses import TERMINAL, OpenAIResponses, ResponsesMeter
from wfb_core.dialects.request import Document, NotUnderstood

MOST_LANES = 256
"""Responses under way on one socket; of more only the later ones are read."""
_RESPONSES = OpenAIResponses()


class ResponsesSocket:
    """WebSockets of /v1/responses."""

    name = "openai-responses-socket"

    def open(self, path: str, headers: Mapping[str, str], provider: str) -> "ResponsesSocketMeter":
        """The meter of a socket; each message names its own model."""
        del headers
        return ResponsesSocketMeter(self.name, path, provider)


class ResponsesSocketMeter:
    """Reads requests as those over HTTP are read, and the events of their answers by lane."""

    def __init__(self, dialect: str, path: str, provider: str) -> None:
        self._dialect = dialect
        self._path = path
        self._provider = provider
        self._facts: CallFacts | None = None
        self._lanes: dict[str, ResponsesMeter] = {}

    def sent(self, message: bytes) -> None:
        """A message of the client; one that is no request, or cannot be read, leaves what was known."""
        document = _parsed(message)
        if document.pop("type", None) != "response.create":
            return
        document.pop("stream_id", None)
        try:
            body = json.dumps(document).encode()
            facts, _ = _RESPONSES.read_request("POST", self._path, {}, body, self._provider)
        except (NotUnderstood, ValueError, RecursionError):
            if self._facts is not None:
                self._facts = replace(self._facts, unbounded=(*self._facts.unbounded, "message"))
            return
        self._facts = replace(facts, dialect=self._dialect, stream=True)

    def received(self, message: bytes) -> tuple[Answer, ...]:
        """A message of the server: the answer of the response that it ends."""
        event = _parsed(message)
        kind, named = event.get("type"), event.get("stream_id")
        if not isinstance(kind, str) or not (kind.startswith("response.") or kind == "error"):
            return ()
        lane = named if isinstance(named, str) else ""
        meter = self._lanes.get(lane)
        if meter is None:
            if len(self._lanes) >= MOST_LANES:
                self._lanes.pop(next(iter(self._lanes)))
            meter = self._lanes[lane] = ResponsesMeter(self._facts or self._unknown())
        meter.frame(message)
        if kind not in TERMINAL and kind != "error":
            return ()
        del self._lanes[lane]
        return (told(meter.found, None),)

    def _unknown(self) -> CallFacts:
        return CallFacts(self._dialect, self._provider, "responses", "", stream=True, cap=None)

    def facts(self) -> CallFacts | None:
        """What the latest request may cost; earlier responses of the socket are input that it does not show."""
        return self._facts

    def end(self) -> Answer | None:
        """The latest response under way when the socket closed."""
        if not self._lanes:
            return None
        _, meter = self._lanes.popitem()
        self._lanes.clear()
        return told(meter.found, None)


def _parsed(message: bytes) -> Document:
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
