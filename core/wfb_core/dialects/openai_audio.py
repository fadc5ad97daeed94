"""OpenAI's Audio API, and providers that hear and speak over the same paths.

Facts are from openai-python 3.54 (types/audio/transcription.py, transcription_verbose.py, transcription_text_done_event.py,
speech_create_params.py), groq 1.7 and mistralai 3.7 (models/usageinfo.py): a transcription is billed by tokens or by what
it lasted, and says which; text, SRT and VTT say nothing. Speech answers with sound alone, so its text is what counts;
only its event stream tells tokens.
"""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Event, Found, counted, inner, open_reader, tokens
from wfb_core.dialects.multipart import flag_in, is_form, read_form
from wfb_core.dialects.openai_chat import deployment_in, openai_refusal, reported_cost
from wfb_core.dialects.request import Document, flag, model_of, named, parse
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

OPERATIONS = ("transcriptions", "translations", "speech")
LONGEST_SECONDS = 10**7
"""A duration beyond four months is none."""


class OpenAIAudio:
    """POST /v1/audio/transcriptions, /translations and /speech."""

    name = "openai-audio"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; of a form its fields; raises NotUnderstood."""
        del method
        last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
        operation = last if last in OPERATIONS else OPERATIONS[0]
        tally = Tally()
        tally.messages = 1
        form = read_form(headers, body) if is_form(headers) else None
        if form is None:
            document = parse(headers, body)
            stream = flag(document, "stream") or named(document, "stream_format") == "sse"
        else:
            document = dict(form.fields)
            stream = flag_in(form, "stream")
            tally.media.extend(("audio", size) for _, size in form.files)
        deployed = deployment_in(path)
        model = model_of(document) if deployed is None or document.get("model") else deployed
        units: tuple[tuple[str, int], ...] = ()
        if operation == "speech":
            spoken = named(document, "input") or ""
            tally.text(spoken)
            tally.text(document.get("instructions"))
            units = (("characters", len(spoken)),)
            if "gpt" in model:
                tally.unbind("audio_output")  # sound is billed in tokens, and no field caps it
        else:
            tally.text(document.get("prompt"))
            if not tally.media:
                tally.hide("file")
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=f"audio.{operation}",
            model=model,
            stream=stream,
            cap=None,
            input_bytes=tally.size,
            messages=tally.messages,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            signed=form is not None,  # a form is handed on as it came
            deployment=deployed is not None,
            units=units,
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: an answer tells its usage unasked, or never."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: no field caps what is heard or spoken."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, which the body names."""
        document["model"] = model
        return path

    def model_in(self, path: str) -> str | None:
        """An Azure deployment's name."""
        return deployment_in(path)

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del strip_usage_chunk
        return open_reader(AudioMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


def milliseconds(seconds: Any) -> int | None:
    """A duration in an answer; None where it is none. Some write their numbers as texts."""
    if isinstance(seconds, str) and len(seconds) <= 32:
        try:
            seconds = float(seconds)
        except ValueError:
            return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < LONGEST_SECONDS:
        return None
    return round(1000 * seconds)


def audio_usage(counts: Mapping[str, Any], speech: bool = False) -> Usage:
    """Totals of a `usage` object of hearing or of `speech`; raises ValueError where its numbers are none.

    By tokens, by seconds, or in Mistral's words, by both.
    """
    if counts.get("type") == "duration" or (counts.get("seconds") is not None and counts.get("type") is None):
        length = milliseconds(counts.get("seconds"))
        if length is None:
            raise ValueError("seconds is no duration")
        return counted({"audio_input_ms": length})
    if counts.get("prompt_tokens") is not None or counts.get("prompt_audio_seconds") is not None:
        heard = milliseconds(counts.get("prompt_audio_seconds")) or 0
        return counted(
            {"audio_input_ms": heard},
            input_tokens=tokens(counts, "prompt_tokens"),
            output_tokens=tokens(counts, "completion_tokens"),
        )
    read = inner(counts, "input_token_details")
    output = tokens(counts, "output_tokens")
    return counted(
        input_tokens=tokens(counts, "input_tokens", required=True),
        cache_read_tokens=tokens(read, "cached_tokens"),
        output_tokens=output,
        audio_input_tokens=tokens(read, "audio_tokens"),
        audio_output_tokens=output if speech else 0,
    )


class AudioMeter:
    """Reads a transcript with its counts, or the events of one; sound and bare texts only pass."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._speech = facts.operation == "audio.speech"

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; never True. A piece of sound tells nothing."""
        if raw.find(b'"speech.audio.delta"') >= 0 and raw.find(b'"usage"') < 0:
            self.found.frames += 1
            return False
        name, event = self.found.event(raw)
        if event is None:
            return False
        self.found.frames += 1
        if name.endswith(".done"):
            self.found.finished = True
        if name == "error":
            self.found.failed = True
        if name.endswith(".delta"):
            texts = (event.get("delta"), event.get("text"))
            self.found.output_bytes += sum(text_bytes(text) for text in texts if isinstance(text, str))
        self._about(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        if isinstance(document.get("text"), str):
            self.found.output_bytes += text_bytes(document["text"])
        self._about(document)
        if self.found.usage is None and self.found.finding is None:
            length = milliseconds(document.get("duration"))
            if length is not None:
                self.found.count_usage(counted({"audio_input_ms": length}))

    def opaque(self, size: int) -> None:
        """Reads sound, or a transcript that is only text: neither tells its usage."""
        self.found.output_bytes = 0 if self._speech else size

    def _about(self, answer: Event) -> None:
        found = self.found
        if answer.get("error") is not None:
            found.failed = True
        if isinstance(answer.get("model"), str) and answer["model"]:
            found.served_model = answer["model"]
        about = answer.get("x_groq")
        for name in (answer.get("id"), about.get("id") if isinstance(about, dict) else None):
            if isinstance(name, str) and name and found.response_id is None:
                found.response_id = name
        counts = answer.get("usage")
        if not counts:
            return
        try:
            found.count_usage(audio_usage(counts if isinstance(counts, dict) else {}, self._speech))
            found.reported_nanos = reported_cost(counts) if isinstance(counts, dict) else None
        except ValueError as e:
            found.malformed(e)

    def ending(self) -> bytes:
        """Nothing: neither sound nor a transcript ends early."""
        return b""
