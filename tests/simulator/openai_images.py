"""OpenAI's images: ``POST …/images/generations`` and ``…/images/edits``; a stream ends with the image and its usage.

Shapes: openai-python ``types/images_response.py``, ``types/image_gen_completed_event.py``.
"""

from collections.abc import Iterator
from typing import Any

from simulator import openai_errors
from simulator.answer import Answer, Ask, count_tokens
from simulator.asked import Asked
from simulator.chat import named_model
from simulator.framing import packed, sse
from simulator.refused import Refused, whole_number
from simulator.shape import Shape

_PIXEL = "iVBORw0KGgo="


class Images(Shape):
    """Each image has the output tokens of the behaviour."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        body = asked.body
        if not body.get("prompt"):
            raise Refused(400, "Missing required parameter: 'prompt'.", param="prompt")
        count = whole_number(body, "n", 1) or 1
        tokens = count_tokens(body["prompt"])
        stream = bool(body.get("stream"))
        return Ask(model, served, stream, None, tokens, count, tells=frozenset(), named=named, asked=asked)

    def _usage(self, answer: Answer) -> dict[str, Any]:
        used = answer.usage
        return {
            "total_tokens": used.input + used.output,
            "input_tokens": used.input,
            "output_tokens": used.output,
            "input_tokens_details": {"text_tokens": used.input, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": used.output},
        }

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        more = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"}
        body = {"created": answer.created, **more, "data": [{"b64_json": _PIXEL}] * answer.ask.choices}
        told = answer.tell(self._usage(answer))
        return packed(body if told is None else {**body, "usage": told}).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """A partial image, then the whole one."""
        more = {"b64_json": _PIXEL, "created_at": answer.created, "size": "1024x1024", "quality": "low"}
        more |= {"background": "opaque", "output_format": "png"}
        kinds = "image_generation.partial_image", "image_generation.completed"
        yield sse({"type": kinds[0], "partial_image_index": 0, **more}, kinds[0]), answer.usage.output
        told = answer.tell(self._usage(answer))
        yield sse({"type": kinds[1], **more, **({} if told is None else {"usage": told})}, kinds[1]), 0

    error = openai_errors.error
    too_long = openai_errors.too_long


IMAGES = Images()
