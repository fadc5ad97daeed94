"""OpenAI's Images API, and providers that draw over the same paths.

Facts are from openai-python 3.54 (types/images_response.py, image_generate_params.py, image_gen_completed_event.py,
image_edit_completed_event.py): GPT image models tell tokens, text and image apart; DALL·E tells none and is billed by the
image; an SVG is written by another model, whose counts stand beside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Found, counted, inner, open_reader, tokens
from wfb_core.dialects.multipart import Form, flag_in, is_form, read_form, whole_in
from wfb_core.dialects.openai_chat import deployment_in, openai_refusal, reported_cost
from wfb_core.dialects.request import LONGEST_MODEL, Document, flag, model_of, parse, whole
from wfb_core.dialects.tally import Tally
from wfb_core.usage import Usage

DEFAULT_MODEL = "dall-e-2"
"""Who draws where a request names no model: openai-python 1.109, types/image_generate_params.py; 3.54 names no default."""
OPERATIONS = ("generations", "edits", "variations")
COMPLETED = frozenset({"image_generation.completed", "image_edit.completed"})


class OpenAIImages:
    """POST /v1/images/generations, /edits and /variations."""

    name = "openai-images"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; of a form its fields; raises NotUnderstood."""
        del method
        form = read_form(headers, body) if is_form(headers) else None
        tally = Tally()
        tally.messages = 1
        if form is None:
            document = parse(headers, body)
            count, stream = whole(document, "n", 1) or 1, flag(document, "stream")
            _given(tally, document)
        else:
            document = dict(form.fields)
            count, stream = whole_in(form, "n", 1), flag_in(form, "stream")
            _files(tally, form)
        tally.text(document.get("prompt"))
        deployed = deployment_in(path)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=f"images.{_operation(path)}",
            model=_model(document, deployed),
            stream=stream,
            cap=None,
            choices=count,
            input_bytes=tally.size,
            messages=tally.messages,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            signed=form is not None,  # a form is handed on as it came
            deployment=deployed is not None,
            units=(("images", count),),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: an answer tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: an image has no cap in tokens."""
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
        return open_reader(ImagesMeter(facts), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


def _operation(path: str) -> str:
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    return last if last in OPERATIONS else OPERATIONS[0]


def _model(document: Document, deployed: str | None) -> str:
    if document.get("model") is None or document["model"] == "":
        return deployed or DEFAULT_MODEL
    return model_of(document)


def _given(tally: Tally, document: Document) -> None:
    """Images to edit in a JSON body: addresses, data or ids."""
    images = document.get("images")
    for image in images if isinstance(images, list) else ():
        url = image.get("image_url") if isinstance(image, dict) else image
        if isinstance(url, str) and url.startswith("data:"):
            tally.add_media("image", url)
        else:
            tally.add_media("image", "")
            tally.hide("image")


def _files(tally: Tally, form: Form) -> None:
    tally.media.extend(("image", size) for _, size in form.files)


def image_usage(counts: Mapping[str, Any]) -> Usage:
    """Totals of a `usage` object of drawing; raises ValueError where its numbers are none.

    Output is an image but for what the details call text.
    """
    read = inner(counts, "input_tokens_details")
    cached = inner(counts, "cached_tokens_details")
    written = inner(counts, "output_tokens_details")
    output = tokens(counts, "output_tokens")
    drawn = tokens(written, "image_tokens") if written.get("image_tokens") is not None else output
    return counted(
        input_tokens=tokens(counts, "input_tokens", required=True),
        cache_read_tokens=tokens(counts, "cached_tokens") or tokens(read, "cached_tokens"),
        output_tokens=output,
        reasoning_tokens=tokens(written, "reasoning_tokens"),
        image_input_tokens=tokens(read, "image_tokens"),
        image_cache_read_tokens=tokens(cached, "cached_image_tokens") or tokens(cached, "image_tokens"),
        image_output_tokens=drawn,
    )


class ImagesMeter:
    """Reads one body, or the events of images that are finished; of the images nothing."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._facts = facts
        self._parts: list[tuple[str | None, Usage]] = []
        self._malformed = False

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; never True. Pictures that are only begun tell nothing."""
        if raw.find(b'partial_image"') >= 0 and raw.find(b'"usage"') < 0:
            self.found.frames += 1
            return False
        name, event = self.found.event(raw)
        if event is None:
            return False
        self.found.frames += 1
        if name in COMPLETED:
            self.found.finished = True
        if name == "error":
            self.found.failed = True
        self._about(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        if not isinstance(document, dict):
            self.found.broken()
            return
        self._about(document)

    def _about(self, answer: Mapping[str, Any]) -> None:
        found = self.found
        if answer.get("error") is not None:
            found.failed = True
        if isinstance(answer.get("model"), str) and answer["model"]:
            found.served_model = answer["model"]
        if isinstance(answer.get("id"), str) and answer["id"]:
            found.response_id = answer["id"]
        counts = answer.get("usage")
        if not counts:
            return
        try:
            self._count(counts if isinstance(counts, dict) else {}, answer)
        except ValueError as e:
            self._malformed = True
            found.malformed(e)

    def _count(self, counts: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        found = self.found
        cost = reported_cost(counts)
        if cost is not None:
            found.reported_nanos = (found.reported_nanos or 0) + cost
        if cost is not None and counts.get("input_tokens") is None:
            images = answer.get("data")
            usage = counted({"images": len(images) if isinstance(images, list) else self._facts.choices})
        else:
            usage = image_usage(counts)
        self._parts.append((found.served_model, usage))
        if drawing := inner(answer, "svg_usage"):
            model = drawing.get("model")
            usage = counted(
                input_tokens=tokens(drawing, "input_tokens"),
                output_tokens=tokens(drawing, "output_tokens"),
                reasoning_tokens=tokens(drawing, "reasoning_tokens"),
            )
            self._parts.append((model if isinstance(model, str) and 0 < len(model) <= LONGEST_MODEL else None, usage))
        if not self._malformed:  # a sum without the event that could not be read would be too low
            found.count_usage(_sum(usage for _, usage in self._parts), list(self._parts))

    def ending(self) -> bytes:
        """Nothing: an image cannot end early."""
        return b""


def _sum(usages: Iterable[Usage]) -> Usage:
    """The sum, class by class, of the images of one stream."""
    sums: dict[str, int] = {}
    units: dict[str, int] = {}
    for usage in usages:
        for column in fields(Usage):
            if column.name != "units":
                sums[column.name] = sums.get(column.name, 0) + getattr(usage, column.name)
        for name, count in usage.units:
            units[name] = units.get(name, 0) + count
    return counted(units, **sums)
