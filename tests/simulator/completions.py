"""OpenAI's legacy completions: ``POST …/completions``.

Shapes: openai-python ``types/completion.py``; usage as in chat, ``best_of`` choices are all billed.
"""

from collections.abc import Iterator
from typing import Any

from simulator import openai_errors
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.chat import named_model, output_cap
from simulator.chat_habits import plain_usage
from simulator.framing import DONE, packed, sse
from simulator.refused import Refused, whole_number
from simulator.shape import Shape


class Completions(Shape):
    """Text for a prompt."""

    id_prefix = "cmpl-"

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body = asked.body
        model, served, named = named_model(asked)
        if not body.get("prompt"):
            raise Refused(400, "you must provide a prompt parameter", param="prompt")
        options = body.get("stream_options")
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        return Ask(
            model=model,
            served=served,
            stream=bool(body.get("stream")),
            cap=output_cap(body, "max_tokens") or 16,
            text_tokens=count_tokens(*prompts),
            choices=(whole_number(body, "n", 1) or 1) * len(prompts),
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            tells=frozenset(),
            named=named,
            asked=asked,
        )

    def _said(self, answer: Answer, words: str | None, index: int, reason: str | None) -> dict[str, Any]:
        choice = {"text": words, "index": index, "logprobs": None, "finish_reason": reason}
        return {
            "id": answer.id,
            "object": "text_completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [] if words is None else [choice],
        }

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        words, reason = text(0, answer.shown), _reason(answer)
        body = self._said(answer, None, 0, None)
        for index in range(answer.ask.choices):
            body["choices"] += self._said(answer, words, index, reason)["choices"]
        told = answer.tell(plain_usage(answer))
        if told is not None:
            body["usage"] = told
        return packed(body).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's frames, each with the tokens it shows."""
        more = {"usage": None} if answer.ask.include_usage else {}
        for piece, count in answer.pieces():
            for index in range(answer.ask.choices):
                yield sse({**self._said(answer, piece, index, None), **more}), count
        for index in range(answer.ask.choices):
            yield sse({**self._said(answer, "", index, _reason(answer)), **more}), 0
        told = answer.tell(plain_usage(answer)) if answer.ask.include_usage else None
        if told is not None:
            yield sse({**self._said(answer, None, 0, None), "usage": told}), 0
        yield DONE, 0

    error = openai_errors.error
    too_long = openai_errors.too_long


def _reason(answer: Answer) -> str:
    return "length" if answer.capped else "stop"


COMPLETIONS = Completions()
