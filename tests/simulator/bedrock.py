"""Bedrock: Converse and InvokeModel, unary and as binary event streams.

Shapes: botocore ``data/bedrock-runtime/2023-09-30``; native bodies of Claude, Nova, Llama, Mistral and Titan Embeddings
as in https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html. Cached input stands beside
``inputTokens``. Mistral's native body tells no counts: only the headers and the stream's last chunk do.
"""

import base64
from collections.abc import Iterator
from typing import Any

from simulator import messages, prices
from simulator.answer import ALL, Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.framing import AWS, aws_event, packed
from simulator.refused import Refused, whole_number
from simulator.shape import Headers, Shape

_KINDS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    529: "ServiceUnavailableException",
}
_OF_FAMILY = {
    "claude": ALL,
    "nova": frozenset({"cache_read", "cache_write"}),
    "llama": frozenset[str](),
    "mistral": frozenset[str](),
    "titan": frozenset[str](),
}
"""The classes of tokens a family has words for."""


def _family(name: str) -> str:
    return next(family for family in _OF_FAMILY if family in name)


def _named_model(asked: Asked) -> tuple[prices.Model, str, str]:
    found = prices.find("aws", asked.names[0])
    if found is None:
        raise Refused(400, "The provided model identifier is invalid.")
    return *found, asked.names[0]


class Bedrock(Shape):
    """What both have in common."""

    request_id_header = "x-amzn-requestid"

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """The behaviour that the request metadata's ``sim`` asks for."""
        metadata = body.get("requestMetadata")
        said = metadata.get("sim") if isinstance(metadata, dict) else None
        return said if isinstance(said, str) else ""

    def stream_type(self, answer: Answer) -> str:
        """Binary messages."""
        return AWS

    def failed_frame(self, answer: Answer, refused: Refused) -> bytes:
        """The exception that ends the stream."""
        return aws_event("internalServerException", {"message": refused.message}, exception=True)

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer; its kind is in a header."""
        return packed({"message": refused.message}).encode()

    def error_headers(self, refused: Refused) -> Headers:
        """The kind of error."""
        return (("x-amzn-errortype", _KINDS.get(refused.status, "ModelErrorException")),)

    def too_long(self, tokens: int, most: int) -> Refused:
        """What Bedrock says of input beyond the context window."""
        return Refused(400, f"Input is too long for requested model: {tokens} tokens, maximum {most}.")


class Converse(Bedrock):
    """One shape for all models."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = _named_model(asked)
        body = asked.body
        if not body.get("messages"):
            raise Refused(400, "A conversation must start with a user message.")
        return Ask(
            model=model,
            served=served,
            stream=asked.action == "converse-stream",
            cap=whole_number(body.get("inferenceConfig") or {}, "maxTokens", 1),
            text_tokens=count_tokens(body["messages"], body.get("system"), body.get("toolConfig")),
            tells=_OF_FAMILY[_family(named)] - {"reasoning"},
            named=named,
            asked=asked,
        )

    def _usage(self, answer: Answer) -> dict[str, Any]:
        used = answer.usage
        told: dict[str, Any] = {
            "inputTokens": used.input - used.cache_read - used.cache_write,
            "outputTokens": used.output,
            "totalTokens": used.input + used.output,
        }
        if answer.ask.tells:
            told |= {"cacheReadInputTokens": used.cache_read, "cacheWriteInputTokens": used.cache_write}
        if used.cache_write:
            by_ttl = {"5m": used.cache_write - used.cache_write_1h, "1h": used.cache_write_1h}
            told["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in by_ttl.items() if tokens]
        return told

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        content = [{"text": text(0, answer.shown)}] if answer.shown else []
        body: dict[str, Any] = {
            "metrics": {"latencyMs": 100},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": _reason(answer),
        }
        told = answer.tell(self._usage(answer))
        if told is not None:
            body["usage"] = told
        return packed(body).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's messages, each with the tokens it shows."""
        yield aws_event("messageStart", {"p": "abcdef", "role": "assistant"}), 0
        for piece, count in answer.pieces():
            delta = {"contentBlockIndex": 0, "delta": {"text": piece}, "p": "abcdefghij"}
            yield aws_event("contentBlockDelta", delta), count
        if answer.shown:
            yield aws_event("contentBlockStop", {"contentBlockIndex": 0, "p": "abc"}), 0
        yield aws_event("messageStop", {"p": "abcd", "stopReason": _reason(answer)}), 0
        told = answer.tell(self._usage(answer))
        last: dict[str, Any] = {"metrics": {"latencyMs": 100}, "p": "ab"}
        yield aws_event("metadata", last if told is None else {**last, "usage": told}), 0


def _reason(answer: Answer) -> str:
    return "max_tokens" if answer.capped else "end_turn"


class Invoke(Bedrock):
    """The models' own bodies."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = _named_model(asked)
        body, family = asked.body, _family(named)
        stream = asked.action == "invoke-with-response-stream"
        if family == "claude":
            return messages.ask(asked, named, stream=stream)
        cap = _cap(family, body)
        tokens = count_tokens(*(body.get(name) for name in ("messages", "system", "prompt", "inputText")))
        return Ask(model, served, stream, cap, tokens, tells=_OF_FAMILY[family], named=named, asked=asked)

    def headers(self, answer: Answer) -> Headers:
        """The counts of a unary answer, cached input beside the rest."""
        if answer.ask.stream:
            return (("x-amzn-bedrock-content-type", "application/json"),)
        told = answer.tell({name: str(count) for name, count in _counts(answer).items()}) or {}
        return tuple((f"x-amzn-bedrock-{name}-token-count", count) for name, count in told.items())

    def whole(self, answer: Answer) -> bytes:
        """The native body."""
        return packed(_NATIVE[_family(answer.ask.named)](answer)).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's messages: native objects in base64, the last with the counts of all."""
        names = {"input": "inputToken", "output": "outputToken"}
        names |= {"cache-read-input": "cacheReadInputToken", "cache-write-input": "cacheWriteInputToken"}
        counts: dict[str, Any] = {f"{names[name]}Count": count for name, count in _counts(answer).items()}
        told = answer.tell({**counts, "invocationLatency": 100, "firstByteLatency": 50})
        before: tuple[dict[str, Any], int] | None = None
        for now in _native_events(answer):
            if before is not None:
                yield _chunk(before[0]), before[1]
            before = now
        if before is not None:
            metrics = {} if told is None else {"amazon-bedrock-invocationMetrics": told}
            yield _chunk({**before[0], **metrics}), before[1]


def _cap(family: str, body: dict[str, Any]) -> int | None:
    """The most output tokens that a native body asks for; Llama's own default, none of a model that embeds."""
    if family == "nova":
        return whole_number(body.get("inferenceConfig") or {}, "maxTokens", 1)
    if family == "llama":
        return whole_number(body, "max_gen_len", 1) or 512
    return whole_number(body, "max_tokens", 1) if family == "mistral" else 0


def _chunk(said: dict[str, Any]) -> bytes:
    return aws_event("chunk", {"bytes": base64.b64encode(packed(said).encode()).decode(), "p": "abcd"})


def _counts(answer: Answer) -> dict[str, int]:
    used = answer.usage
    counts = {"input": used.input - used.cache_read - used.cache_write, "output": used.output}
    cached = {"cache-read-input": used.cache_read, "cache-write-input": used.cache_write}
    return counts | (cached if answer.ask.tells else {})


def _nova_usage(answer: Answer) -> dict[str, Any]:
    used = answer.usage
    told = {
        "inputTokens": used.input - used.cache_read - used.cache_write,
        "outputTokens": used.output,
        "cacheReadInputTokenCount": used.cache_read,
        "cacheWriteInputTokenCount": used.cache_write,
    }
    return {**told, "totalTokens": used.input + used.output}


def _nova(answer: Answer) -> dict[str, Any]:
    message = {"content": [{"text": text(0, answer.shown)}], "role": "assistant"}
    said = {"output": {"message": message}, "stopReason": _reason(answer)}
    told = answer.tell(_nova_usage(answer))
    return said if told is None else {**said, "usage": told}


def _llama(answer: Answer, words: str | None = None, *, ended: bool = True) -> dict[str, Any]:
    reason = ("length" if answer.capped else "stop") if ended else None
    counts = {"prompt_token_count": answer.usage.input, "generation_token_count": answer.usage.output}
    told = (answer.tell(counts) or {}) if ended else {"prompt_token_count": None, "generation_token_count": 1}
    return {"generation": text(0, answer.shown) if words is None else words, **told, "stop_reason": reason}


def _mistral(answer: Answer, words: str | None = None, *, ended: bool = True) -> dict[str, Any]:
    reason = ("length" if answer.capped else "stop") if ended else None
    return {"outputs": [{"text": text(0, answer.shown) if words is None else words, "stop_reason": reason}]}


def _titan(answer: Answer) -> dict[str, Any]:
    told = answer.tell({"inputTextTokenCount": answer.usage.input}) or {}
    return {"embedding": [0.25, -0.5, 0.75], **told}


_NATIVE = {"claude": messages.body, "nova": _nova, "llama": _llama, "mistral": _mistral, "titan": _titan}


def _native_events(answer: Answer) -> Iterator[tuple[dict[str, Any], int]]:
    family = _family(answer.ask.named)
    if family == "claude":
        yield from messages.events(answer)
    elif family == "nova":
        yield {"messageStart": {"role": "assistant"}}, 0
        for piece, count in answer.pieces():
            yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}, count
        yield {"contentBlockStop": {"contentBlockIndex": 0}}, 0
        yield {"messageStop": {"stopReason": _reason(answer)}}, 0
        told = answer.tell(_nova_usage(answer))
        yield {"metadata": {"metrics": {}, "trace": {}, **({} if told is None else {"usage": told})}}, 0
    else:
        native = {"llama": _llama, "mistral": _mistral}[family]
        for piece, count in answer.pieces():
            yield native(answer, piece, ended=False), count
        yield native(answer, "", ended=True), 0


CONVERSE = Converse()
INVOKE = Invoke()
