"""Cohere: v2 chat, embed and rerank.

Shapes: cohere-python ``types/usage.py``, ``types/*v2chat_stream_response*.py``, ``types/api_meta.py``. What is billed are
``billed_units``; ``tokens`` has what the prompt's template adds as well.
"""

from collections.abc import Iterator
from typing import Any

from simulator import prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.framing import packed, sse
from simulator.refused import Refused, whole_number
from simulator.shape import Shape

TEMPLATE_TOKENS = 67
"""What the template adds to a prompt's tokens, unbilled."""


class _Cohere(Shape):
    request_id_header = "x-debug-trace-id"

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        return packed({"id": request_id, "message": refused.message}).encode()

    def too_long(self, tokens: int, most: int) -> Refused:
        """What Cohere says of input beyond the context window."""
        return Refused(400, f"too many tokens: total number of tokens in the prompt cannot exceed {most}: got {tokens}")


def _named_model(asked: Asked) -> tuple[prices.Model, str, str]:
    named = asked.body.get("model")
    found = prices.find("cohere", named)
    if found is None:
        raise Refused(404, f"model '{named}' not found, make sure the correct model ID was used")
    return *found, str(named)


class CohereChat(_Cohere):
    """v2/chat."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = _named_model(asked)
        body = asked.body
        if not body.get("messages"):
            raise Refused(400, "invalid request: at least one message is required")
        return Ask(
            model=model,
            served=served,
            stream=bool(body.get("stream")),
            cap=whole_number(body, "max_tokens", 1),
            text_tokens=count_tokens(body["messages"], body.get("tools"), body.get("documents")),
            tells=frozenset(),
            named=named,
            asked=asked,
        )

    def _usage(self, answer: Answer) -> dict[str, Any]:
        used = answer.usage
        return {
            "billed_units": {"input_tokens": used.input, "output_tokens": used.output},
            "tokens": {"input_tokens": used.input + TEMPLATE_TOKENS, "output_tokens": used.output + 2},
            "cached_tokens": 0,
        }

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        content = [{"type": "text", "text": text(0, answer.shown)}]
        body = {
            "id": answer.id,
            "finish_reason": _reason(answer),
            "message": {"role": "assistant", "content": content},
        }
        told = answer.tell(self._usage(answer))
        return packed(body if told is None else {**body, "usage": told}).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's events, each with the tokens it shows."""

        def event(kind: str, **said: Any) -> bytes:
            """One event."""
            return sse({"type": kind, **said}, kind)

        opening = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
        yield event("message-start", id=answer.id, delta=opening), 0
        begun = {"message": {"content": {"type": "text", "text": ""}}}
        yield event("content-start", index=0, delta=begun), 0
        for piece, count in answer.pieces():
            yield event("content-delta", index=0, delta={"message": {"content": {"text": piece}}}), count
        yield event("content-end", index=0), 0
        told = answer.tell(self._usage(answer))
        ended: dict[str, Any] = {"finish_reason": _reason(answer)}
        yield event("message-end", delta=ended if told is None else {**ended, "usage": told}), 0

    def broken_frame(self, answer: Answer) -> bytes:
        """A frame that cannot be read."""
        return b"event: content-delta\n" + super().broken_frame(answer)


def _reason(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.capped else "COMPLETE"


class CohereEmbed(_Cohere):
    """embed, v1 and v2."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = _named_model(asked)
        body = asked.body
        texts = body.get("texts") or body.get("inputs") or body.get("images")
        if not texts:
            raise Refused(400, "invalid request: one of texts, inputs and images is required")
        tokens = count_tokens(*texts)
        return Ask(model, served, False, 0, tokens, tells=frozenset(), named=named, asked=asked, count=len(texts))

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        vectors = [[0.25, -0.5, 0.75]] * answer.ask.count
        said = {"id": answer.id, "texts": [], "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
        units = answer.tell({"input_tokens": answer.usage.input})
        meta = {"api_version": {"version": "2"}, **({} if units is None else {"billed_units": units})}
        return packed({**said, "meta": meta}).encode()


class CohereRerank(_Cohere):
    """rerank: a search unit is a query with up to a hundred documents."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = _named_model(asked)
        documents = asked.body.get("documents") or []
        if not asked.body.get("query") or not documents:
            raise Refused(400, "invalid request: query and documents are required")
        searches = {"searches": -(-len(documents) // 100)}
        tokens = count_tokens(asked.body["query"], documents)
        ask = Ask(model, served, False, 0, tokens, tells=frozenset(), named=named, asked=asked, units=searches)
        ask.count = len(documents)
        return ask

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        results = [{"index": place, "relevance_score": 1 / (place + 1)} for place in range(answer.ask.count)]
        units = answer.tell({"search_units": answer.ask.units["searches"]})
        meta = {"api_version": {"version": "2"}, **({} if units is None else {"billed_units": units})}
        return packed({"id": answer.id, "results": results, "meta": meta}).encode()


COHERE_CHAT = CohereChat()
COHERE_EMBED = CohereEmbed()
COHERE_RERANK = CohereRerank()
