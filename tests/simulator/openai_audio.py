"""OpenAI's audio: ``POST …/audio/transcriptions``, ``…/audio/translations`` (forms) and ``…/audio/speech``.

Shapes: openai-python ``types/audio``. Older models are billed by the second and tell ``duration``, newer by tokens.
Speech answers with sound and tells nothing; only as an event stream it tells usage, and not for the older models, which
are billed by characters of the text.
"""

from collections.abc import Iterator
from typing import Any

from simulator import openai_errors
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.chat import named_model
from simulator.framing import packed, sse
from simulator.refused import Refused
from simulator.shape import Shape

_SOUND = bytes(range(256))


def _usage(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    return {
        "input_tokens": used.input,
        "output_tokens": used.output,
        "total_tokens": used.input + used.output,
    }


class Transcription(Shape):
    """Text of sound."""

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """A form has no metadata."""
        return ""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        body = asked.body
        sound = body.get("file")
        if not isinstance(sound, bytes):
            raise Refused(400, "Missing required parameter: 'file'.", param="file")
        stream = str(body.get("stream")).lower() == "true"
        # ten tokens a second, and a second for every sixteen thousand bytes
        seconds = max(1, len(sound) // 16_000)
        by_second = "seconds" in model.unit_rates
        return Ask(
            model=model,
            served=served,
            stream=stream and not by_second,
            cap=0 if by_second else None,
            text_tokens=seconds * 10,
            tells=frozenset(),
            named=named,
            asked=asked,
            units={"seconds": seconds} if by_second else {},
        )

    def _told(self, answer: Answer) -> dict[str, Any] | None:
        if answer.ask.units:
            return answer.tell({"type": "duration", **answer.ask.units})
        details = {"text_tokens": 0, "audio_tokens": answer.usage.input}
        return answer.tell({"type": "tokens", **_usage(answer), "input_token_details": details})

    def _is_json(self, answer: Answer) -> bool:
        asked = answer.ask.asked
        return not asked or asked.body.get("response_format", "json") in {"json", "verbose_json", "diarized_json"}

    def whole(self, answer: Answer) -> bytes:
        """The unary body; some formats are plain text, and tell nothing of usage."""
        words = text(0, answer.shown or 8)
        if not self._is_json(answer):
            return words.encode()
        told = self._told(answer)
        return packed({"text": words, **({} if told is None else {"usage": told})}).encode()

    def content_type(self, answer: Answer) -> str:
        """As the format."""
        return "application/json" if self._is_json(answer) else "text/plain; charset=utf-8"

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's events, each with the tokens it shows."""
        for piece, count in answer.pieces():
            yield sse({"type": "transcript.text.delta", "delta": piece}), count
        told = self._told(answer)
        last = {"type": "transcript.text.done", "text": text(0, answer.shown)}
        yield sse(last if told is None else {**last, "usage": told}), 0

    error = openai_errors.error
    too_long = openai_errors.too_long


class Speech(Shape):
    """Sound of text."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        words = asked.body.get("input")
        if not isinstance(words, str) or not words:
            raise Refused(400, "Missing required parameter: 'input'.", param="input")
        units = {"characters": len(words)} if "characters" in model.unit_rates else {}
        return Ask(
            model=model,
            served=served,
            stream=asked.body.get("stream_format") == "sse" and not units,
            cap=0 if units else None,
            text_tokens=count_tokens(words),
            tells=frozenset(),
            named=named,
            asked=asked,
            units=units,
        )

    def whole(self, answer: Answer) -> bytes:
        """Sound."""
        return _SOUND * 16

    def content_type(self, answer: Answer) -> str:
        """Of the sound."""
        return "audio/mpeg"

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """Pieces of the sound, then the usage."""
        for _, count in answer.pieces():
            yield sse({"type": "speech.audio.delta", "audio": "AAEC"}), count
        told = answer.tell(_usage(answer))
        yield sse({"type": "speech.audio.done", **({} if told is None else {"usage": told})}), 0

    error = openai_errors.error
    too_long = openai_errors.too_long


TRANSCRIPTION = Transcription()
SPEECH = Speech()
