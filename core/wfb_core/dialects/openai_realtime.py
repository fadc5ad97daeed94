"""OpenAI's Realtime API: a conversation over a WebSocket, of which every response is billed with all that went before.

Facts are from openai-python 3.54 (types/realtime/response_done_event.py, realtime_response_usage.py,
realtime_session_create_request.py, conversation_item_input_audio_transcription_completed_event.py): audio, image, text
and cached counts are inside their totals; what the caller says is transcribed by another model, at that model's price.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import Answer, Found, counted, inner, tokens, told
from wfb_core.dialects.openai_audio import audio_usage
from wfb_core.dialects.openai_chat import deployment_in
from wfb_core.dialects.request import LONGEST_MODEL, Document
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
SESSIONS = frozenset(
    {"session.created", "session.updated", "transcription_session.created", "transcription_session.updated"}
)
TEXTS = frozenset(
    {
        "response.text.delta",
        "response.output_text.delta",
        "response.audio_transcript.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
    }
)
"""Events whose `delta` is text, in the API's two generations."""


class OpenAIRealtime:
    """WebSockets of /v1/realtime."""

    name = "openai-realtime"

    def open(self, path: str, headers: Mapping[str, str], provider: str) -> "RealtimeMeter":
        """The meter of a socket; its query names the model, or Azure's deployment."""
        del headers
        query = parse_qs(path.partition("?")[2])
        named = next((query[name][0] for name in ("model", "deployment") if query.get(name)), deployment_in(path))
        return RealtimeMeter(self.name, provider, named, "deployment" in query or deployment_in(path) is not None)


def realtime_usage(counts: Mapping[str, Any]) -> Usage:
    """Totals of a response's `usage`; raises ValueError where its numbers are none."""
    read, written = inner(counts, "input_token_details"), inner(counts, "output_token_details")
    cached = inner(read, "cached_tokens_details")
    return counted(
        input_tokens=tokens(counts, "input_tokens", required=True),
        cache_read_tokens=tokens(read, "cached_tokens"),
        output_tokens=tokens(counts, "output_tokens"),
        reasoning_tokens=tokens(written, "reasoning_tokens"),
        audio_input_tokens=tokens(read, "audio_tokens"),
        image_input_tokens=tokens(read, "image_tokens"),
        audio_cache_read_tokens=tokens(cached, "audio_tokens"),
        image_cache_read_tokens=tokens(cached, "image_tokens"),
        audio_output_tokens=tokens(written, "audio_tokens"),
    )


class RealtimeMeter:
    """Reads the messages of both sides: what is sent joins the conversation, what comes is billed by the response."""

    def __init__(self, dialect: str, provider: str, model: str | None, deployment: bool) -> None:
        self._dialect = dialect
        self._provider = provider
        self._model = _name(model)
        self._served: str | None = None
        self._deployment = deployment
        self._transcriber: str | None = None
        self._session_cap: int | None = None
        self._cap: int | None = None
        self._tally = Tally()
        self._audio = 0
        self._found = Found()

    def sent(self, message: bytes) -> None:
        """A message of the client: the session's settings, an item, sound as it is spoken, a wish for a response."""
        event = _parsed(message)
        kind = _kind(event)
        try:
            if kind == "input_audio_buffer.append":
                audio = event.get("audio")
                self._audio += len(audio) * 3 // 4 if isinstance(audio, str) else 0
            elif kind in {"session.update", "transcription_session.update"}:
                self._session(event.get("session"))
                self._tally.text(event.get("session"))
            elif kind == "response.create":
                asked = event.get("response")
                self._cap = _cap(asked, self._session_cap)
                self._tally.text(asked)
            elif kind == "conversation.item.create":
                self._tally.messages += 1
                self._tally.text(event.get("item"))
        except (ValueError, RecursionError):
            self._tally.hide("message")

    def _session(self, session: Any, told_by_server: bool = False) -> None:
        """What a session's settings say; only the server's are sure to hold."""
        if not isinstance(session, dict):
            return
        if "max_output_tokens" in session or "max_response_output_tokens" in session:
            self._session_cap = _cap(session, None)
            self._cap = self._session_cap
        if told_by_server and (model := _name(session.get("model"))):
            self._served = model
            self._model = self._model or model
        if model := _transcription_model(session):
            self._transcriber = model

    def received(self, message: bytes) -> tuple[Answer, ...]:
        """A message of the server: the answer whose usage it tells; a transcription has its own."""
        event = _parsed(message)
        kind = _kind(event)
        if kind in SESSIONS:
            self._session(event.get("session"), told_by_server=True)
        elif kind == "response.done":
            return (self._done(event.get("response")),)
        elif kind == TRANSCRIBED:
            return self._transcribed(event)
        elif kind.startswith("response."):
            self._found.frames += 1
            delta = event.get("delta")
            if kind in TEXTS and isinstance(delta, str):
                self._found.output_bytes += text_bytes(delta)
        return ()

    def _done(self, response: Any) -> Answer:
        found, self._found = self._found, Found()
        self._cap = self._session_cap
        found.frames += 1
        found.finished = True
        found.served_model = self._served or self._model
        if isinstance(response, dict):
            if isinstance(response.get("id"), str):
                found.response_id = response["id"]
            found.failed = response.get("status") == "failed"
            counts = response.get("usage")
            if counts:
                try:
                    found.count_usage(realtime_usage(counts if isinstance(counts, dict) else {}))
                except ValueError as e:
                    found.malformed(e)
        return told(found, None)

    def _transcribed(self, event: Document) -> tuple[Answer, ...]:
        counts = event.get("usage")
        if not counts:
            return ()
        found = Found(served_model=self._transcriber, finished=True, frames=1)
        if isinstance(event.get("item_id"), str):
            found.response_id = event["item_id"]
        try:
            found.count_usage(audio_usage(counts if isinstance(counts, dict) else {}))
        except ValueError as e:
            found.malformed(e)
        return (told(found, None),)

    def facts(self) -> CallFacts | None:
        """What the next response may cost: what was sent so far, and a conversation that no message shows whole."""
        model = self._model or self._transcriber
        if model is None:
            return None
        return CallFacts(
            dialect=self._dialect,
            provider=self._provider,
            operation="realtime",
            model=model,
            stream=True,
            cap=self._cap,
            input_bytes=self._tally.size,
            messages=self._tally.messages,
            media=(("audio", self._audio),) if self._audio else (),
            hidden_input=("conversation", *self._tally.hidden),
            deployment=self._deployment,
        )

    def end(self) -> Answer | None:
        """The response under way when the socket closed."""
        if not self._found.frames:
            return None
        found, self._found = self._found, Found()
        found.served_model = self._served or self._model
        return told(found, None)


def _parsed(message: bytes) -> Document:
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _kind(event: Document) -> str:
    kind = event.get("type")
    return kind if isinstance(kind, str) else ""


def _name(model: Any) -> str | None:
    return model if isinstance(model, str) and 0 < len(model) <= LONGEST_MODEL else None


def _cap(settings: Any, default: int | None) -> int | None:
    """The cap that settings name, "inf" for none; both generations' names are read."""
    for name in ("max_output_tokens", "max_response_output_tokens"):
        if isinstance(settings, dict) and settings.get(name) is not None:
            cap = settings[name]
            return cap if isinstance(cap, int) and not isinstance(cap, bool) and cap >= 0 else None
    return default


def _transcription_model(session: Document) -> str | None:
    """Who transcribes: `audio.input.transcription.model`, before it `input_audio_transcription.model`."""
    settings: Any = session
    for name in ("audio", "input", "transcription"):
        settings = settings.get(name) if isinstance(settings, dict) else None
    for found in (settings, session.get("input_audio_transcription")):
        if isinstance(found, dict) and (model := _name(found.get("model"))):
            return model
    return None
