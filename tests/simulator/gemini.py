"""Gemini's generateContent, unary, as an event stream (``alt=sse``) and as a JSON array; the Gemini API's and Vertex's.

Shapes: google-genai ``types.GenerateContentResponse``, https://ai.google.dev/api/generate-content. Thoughts stand beside
the candidates, cached content inside the prompt, and every chunk tells running totals.
"""

from collections.abc import Iterator
from typing import Any

from simulator import prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.framing import ARRAY, SSE, packed, sse
from simulator.refused import Refused, whole_number
from simulator.shape import Shape

_KINDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}
TELLS = frozenset({"cache_read", "reasoning"})


def named_model(asked: Asked) -> tuple[prices.Model, str, str]:
    """The model of the path, the name that answers, the name that was asked for."""
    named = asked.names[-1].removeprefix("models/")
    found = prices.find(asked.provider, named)
    if found is None:
        raise Refused(404, f"models/{named} is not found for API version v1beta, or is not supported for this method.")
    return *found, named


def usage(answer: Answer, shown: int | None = None) -> dict[str, Any]:
    """The usage block, with so many visible tokens of each choice, or all."""
    used = answer.usage
    seen = used.output - used.reasoning if shown is None else shown
    told = {"promptTokenCount": used.input, "candidatesTokenCount": seen}
    if used.reasoning:
        told["thoughtsTokenCount"] = used.reasoning
    told["totalTokenCount"] = used.input + used.reasoning + seen
    if used.cache_read:
        told["cachedContentTokenCount"] = used.cache_read
    if not seen:
        del told["candidatesTokenCount"]  # as early chunks have it
    return {**told, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": used.input}]}


def error_body(refused: Refused, _request_id: str) -> bytes:
    """An error as Google's APIs say it."""
    kind = _KINDS.get(refused.status, "UNKNOWN")
    return packed({"error": {"code": refused.status, "message": refused.message, "status": kind}}).encode()


class Gemini(Shape):
    """generateContent and streamGenerateContent."""

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """The behaviour that the label ``sim`` asks for; Vertex has labels."""
        labels = body.get("labels")
        said = labels.get("sim") if isinstance(labels, dict) else None
        return said if isinstance(said, str) else ""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        body = asked.body
        if not body.get("contents"):
            raise Refused(400, "* GenerateContentRequest.contents: contents is not specified\n")
        config = body.get("generationConfig") or {}
        return Ask(
            model=model,
            served=served,
            stream=asked.action == "streamGenerateContent",
            cap=whole_number(config, "maxOutputTokens", 1),
            text_tokens=count_tokens(body["contents"], body.get("systemInstruction"), body.get("tools")),
            choices=whole_number(config, "candidateCount", 1) or 1,
            tells=TELLS,
            named=named,
            asked=asked,
        )

    def _said(self, answer: Answer, words: str, index: int, reason: str | None, told: dict[str, Any]) -> dict[str, Any]:
        content = {"parts": [{"text": words}], "role": "model"}
        candidate: dict[str, Any] = {"content": content, "index": index}
        if reason:
            candidate["finishReason"] = reason
        body: dict[str, Any] = {"candidates": [candidate]}
        counted = answer.tell(told)
        if counted is not None:
            body["usageMetadata"] = counted
        return {**body, "modelVersion": answer.model, "responseId": answer.id}

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        words, reason = text(0, answer.shown), _reason(answer)
        body = self._said(answer, words, 0, reason, usage(answer))
        for index in range(1, answer.ask.choices):
            body["candidates"] += self._said(answer, words, index, reason, {})["candidates"]
        return packed(body).encode()

    def stream_type(self, answer: Answer) -> str:
        """Events where they are asked for, else an array."""
        asked = answer.ask.asked
        return SSE if asked and asked.query.get("alt") == "sse" else ARRAY

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's frames, each with the tokens it shows."""
        in_array = self.stream_type(answer) == ARRAY
        made, opening = 0, b"["

        def frame(words: str, index: int, reason: str | None) -> bytes:
            """One chunk, with the totals until here."""
            nonlocal opening
            said = self._said(answer, words, index, reason, usage(answer, made))
            if not in_array:
                return sse(said)
            before, opening = opening, b",\r\n"
            return before + packed(said).encode()

        for piece, count in answer.pieces():
            for index in range(answer.ask.choices):
                made += count
                yield frame(piece, index, None), count
        for index in range(answer.ask.choices):
            yield frame("", index, _reason(answer)), 0
        if in_array:
            yield b"]", 0

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The failure as one more frame."""
        said = self.error(refused, "")
        return b",\r\n" + said + b"]" if self.stream_type(answer) == ARRAY else b"data: " + said + b"\n\n"

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        return error_body(refused, request_id)

    def too_long(self, tokens: int, most: int) -> Refused:
        """What Google says of input beyond the context window."""
        return Refused(400, f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({most}).")


def _reason(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.capped else "STOP"


class GeminiEmbeddings(Shape):
    """embedContent, batchEmbedContents, and Vertex's predict for models that embed."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        body = asked.body
        texts = body.get("requests") or body.get("instances") or [body.get("content")]
        tokens = count_tokens(*([part.get("content", part) for part in texts if isinstance(part, dict)]))
        return Ask(model, served, False, 0, tokens, tells=frozenset(), named=named, asked=asked, count=len(texts))

    def whole(self, answer: Answer) -> bytes:
        """The unary body; each text of a batch has its share of the tokens."""
        vector = {"values": [0.25, -0.5, 0.75]}
        tokens, count = answer.usage.input, answer.ask.count
        if answer.ask.action == "predict":
            shares = [tokens // count + (place < tokens % count) for place in range(count)]
            rows = [{"embeddings": {**vector, "statistics": {"truncated": False, "token_count": n}}} for n in shares]
            return packed({"predictions": rows, "metadata": {"billableCharacterCount": tokens * 4}}).encode()
        body: dict[str, Any] = (
            {"embeddings": [vector] * count} if answer.ask.action == "batchEmbedContents" else {"embedding": vector}
        )
        told = answer.tell({"promptTokenCount": tokens})
        if told is not None:
            body["usageMetadata"] = told
        return packed(body).encode()

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""
        return error_body(refused, request_id)


GEMINI = Gemini()
GEMINI_EMBEDDINGS = GeminiEmbeddings()
