"""Embeddings as OpenAI, Azure, Mistral, Voyage, Jina, Together and vLLM serve them, and rerankers that count tokens so.

Shapes: openai-python 3.54, openai/types/create_embedding_response.py and embedding_create_params.py; docs.voyageai.com
and docs.mistral.ai for `total_tokens` alone; openrouter.ai/docs and docs.perplexity.ai for the cost that they state.
There is no output: all that is counted is input.
"""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Event, Found, counted, open_reader, tokens
from wfb_core.dialects.chat_counts import reported_cost
from wfb_core.dialects.model_path import asked_model, biller_of, is_deployment, path_model, path_with_model
from wfb_core.dialects.openai_chat import openai_refusal, read_image
from wfb_core.dialects.request import Document, not_understood, parse
from wfb_core.dialects.tally import Part, PartReader, Tally
from wfb_core.dialects.text_size import text_bytes

SILENT = frozenset(
    {
        "model",
        "encoding_format",
        "dimensions",
        "user",
        "input",
        "inputs",
        "input_type",
        "task",
        "truncation",
        "truncate",
        "output_dtype",
        "output_dimension",
        "top_k",
        "top_n",
        "return_documents",
    }
)


class OpenAIEmbeddings:
    """POST /embeddings, and rerankers of the same shape."""

    name = "openai-embeddings"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        if not body:
            raise not_understood("the body is empty; send the input to embed")
        document = parse(headers, body)
        model = asked_model(document, path)
        provider = biller_of(provider, model)
        tally = Tally()
        inputs = document.get("input", document.get("inputs"))
        tally.messages = len(inputs) if isinstance(inputs, list) and not _is_tokens(inputs) else 1
        _read_inputs(tally, inputs)
        tally.rest(document, SILENT)
        ranked = document.get("documents")
        if isinstance(ranked, list) and ranked:
            tally.messages = len(ranked)
            if isinstance(document.get("query"), str):
                # Each document is read together with the query: docs.voyageai.com/docs/reranker.
                tally.size += text_bytes(document["query"]) * (len(ranked) - 1)
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="embeddings" if inputs is not None or ranked is None else "rerank",
            model=model,
            stream=False,
            cap=0,
            input_bytes=tally.size,
            messages=tally.messages,
            inputs=tally.messages,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            deployment=is_deployment(path, provider),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: the answer tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: there is no output to cap."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, as chat does."""
        changed = path_with_model(path, model)
        if changed == path or document.get("model") is not None:
            document["model"] = model
        return changed

    def model_in(self, path: str) -> str | None:
        """An Azure deployment's name; None where the body names the model."""
        return path_model(path)

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del strip_usage_chunk
        return open_reader(EmbeddingsMeter(facts), False, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


class EmbeddingsMeter:
    """Reads one body; of the vectors nothing."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        self._provider = facts.provider

    def frame(self, raw: bytes) -> bool:
        """Reads an answer that came as one event; never True."""
        _, event = self.found.event(raw)
        if event is not None:
            self.found.frames += 1
            self.document(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        found.failed = bool(document.get("error")) or document.get("object") == "error"
        for name, key in (("served_model", "model"), ("response_id", "id")):
            if isinstance(document.get(key), str) and document[key]:
                setattr(found, name, document[key])
        counts = document.get("usage")
        if isinstance(counts, dict) and counts:
            try:
                found.count_usage(counted(input_tokens=_input(counts)))
                found.reported_nanos = reported_cost(counts, self._provider)
            except ValueError as e:
                found.malformed(e)

    def ending(self) -> bytes:
        """Nothing: a body cannot end early."""
        return b""


def _input(counts: Event) -> int:
    """The tokens embedded; Voyage and rerankers have only a total, and a total beyond the text counts pictures too."""
    named = next((name for name in ("prompt_tokens", "input_tokens") if counts.get(name) is not None), "total_tokens")
    told = tokens(counts, named, required=True)
    return max(told, tokens(counts, "total_tokens") - tokens(counts, "completion_tokens"))


def _picture(tally: Tally, part: Part) -> Part:
    name = part["type"]
    return {**part, name: None} if read_image(tally, part.get(name)) else part


_PARTS: Mapping[str, PartReader] = {"image_url": _picture, "image_base64": _picture}
"""Voyage's parts that are not text: docs.voyageai.com/reference/multimodal-embeddings-api."""


def _read_inputs(tally: Tally, inputs: Any) -> None:
    """Counts what is to be embedded; Jina's pictures are objects with the key ``image``, in base64 or by an address."""
    for entry in inputs if isinstance(inputs, list) and not _is_tokens(inputs) else [inputs]:
        if isinstance(entry, dict) and isinstance(image := entry.get("image"), str):
            read_image(tally, image if image.startswith(("data:", "http")) else f"data:,{image}")
            tally.text({**entry, "image": None})
        else:
            tally.content(entry, _PARTS)


def _is_tokens(inputs: Any) -> bool:
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], int)
