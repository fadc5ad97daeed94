"""Ollama's own API: chat, generate and embed; streams lines of JSON unless told otherwise.

Shapes: https://github.com/ollama/ollama/blob/main/docs/api.md. It costs nothing, and is billed so.
"""

from collections.abc import Iterator
from typing import Any

from simulator import prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.framing import NDJSON, line, packed
from simulator.refused import Refused, whole_number
from simulator.shape import Shape


class Ollama(Shape):
    """All three."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body = asked.body
        found = prices.find("ollama", body.get("model"))
        if found is None:
            raise Refused(404, f"model '{body.get('model')}' not found")
        embeds = asked.action == "embed"
        texts = body.get("input") if embeds else body.get("messages", body.get("prompt"))
        many = texts if isinstance(texts, list) else [texts]
        return Ask(
            model=found[0],
            served=found[1],
            stream=not embeds and body.get("stream") is not False,
            cap=0 if embeds else whole_number(body.get("options") or {}, "num_predict", 1),
            text_tokens=count_tokens(*many, body.get("system")),
            tells=frozenset(),
            named=str(body["model"]),
            asked=asked,
            count=len(many),
        )

    def _said(self, answer: Answer, words: str, *, done: bool) -> dict[str, Any]:
        said: dict[str, Any] = {"model": answer.model, "created_at": "2026-01-01T00:00:00.000000Z"}
        if answer.ask.action == "generate":
            said["response"] = words
        else:
            said["message"] = {"role": "assistant", "content": words}
        said["done"] = done
        if done:
            counts = {"prompt_eval_count": answer.usage.input, "eval_count": answer.usage.output}
            said["done_reason"] = "length" if answer.capped else "stop"
            said |= {"total_duration": 5_000_000, "load_duration": 1_000_000, **(answer.tell(counts) or {})}
        return said

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        if answer.ask.action == "embed":
            vectors = [[0.25, -0.5, 0.75]] * answer.ask.count
            told = answer.tell({"prompt_eval_count": answer.usage.input}) or {}
            return packed({"model": answer.model, "embeddings": vectors, "total_duration": 1_000_000, **told}).encode()
        return packed(self._said(answer, text(0, answer.shown), done=True)).encode()

    def stream_type(self, answer: Answer) -> str:
        """Lines."""
        return NDJSON

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's lines, each with the tokens it shows."""
        for piece, count in answer.pieces():
            yield line(self._said(answer, piece, done=False)), count
        yield line(self._said(answer, "", done=True)), 0

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The failure as a line."""
        return self.error(refused, "") + b"\n"

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        return packed({"error": refused.message}).encode()


OLLAMA = Ollama()
