"""OpenAI's embeddings, ``POST …/embeddings``, as others have them too; Mistral adds completion tokens of none.

Shapes: openai-python ``types/create_embedding_response.py``; vectors are little-endian floats in base64 where asked.
"""

import base64
import struct
from typing import Any

from simulator import openai_errors
from simulator.answer import Answer, Ask, count_tokens
from simulator.asked import Asked
from simulator.chat import named_model
from simulator.framing import packed
from simulator.refused import Refused
from simulator.shape import Shape

VECTOR = [0.25, -0.5, 0.75]


class Embeddings(Shape):
    """Vectors for texts."""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        model, served, named = named_model(asked)
        texts = asked.body.get("input")
        if not texts:
            raise Refused(400, "'$.input' is invalid.", param="input")
        many = texts if isinstance(texts, list) else [texts]
        tokens = _given(many) or count_tokens(*many)
        count = 1 if isinstance(many[0], int) else len(many)
        return Ask(model, served, False, 0, tokens, tells=frozenset(), named=named, asked=asked, count=count)

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        asked, tokens = answer.ask.asked, answer.usage.input
        vector: object = VECTOR
        if asked and asked.body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
        rows = [{"object": "embedding", "index": place, "embedding": vector} for place in range(answer.ask.count)]
        body: dict[str, Any] = {"object": "list", "data": rows, "model": answer.model}
        used = {"prompt_tokens": tokens, "total_tokens": tokens}
        if answer.ask.model.provider == "mistral":
            body["id"] = answer.id
            used["completion_tokens"] = 0
        told = answer.tell(used)
        if told is not None:
            body["usage"] = told
        return packed(body).encode()

    error = openai_errors.error
    too_long = openai_errors.too_long


def _given(many: list[object]) -> int:
    """Tokens that come as numbers instead of text."""
    lists = [part for part in many if isinstance(part, list)]
    return sum(map(len, lists)) if lists else len(many) if isinstance(many[0], int) else 0


EMBEDDINGS = Embeddings()
