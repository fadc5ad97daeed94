"""Completions of the time before chat, as OpenAI, Azure, vLLM and Together serve them, and Mistral's fill in the middle.

Shapes: openai-python 3.54, openai/types/completion.py and completion_create_params.py; mistralai 3.7,
models/fimcompletionrequest.py. Answers are those of chat with `text` in place of a message.
"""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import AnswerReader, Event, open_reader
from wfb_core.dialects.model_path import asked_model, biller_of, is_deployment, path_model, path_with_model
from wfb_core.dialects.openai_chat import ChatMeter, OpenAIChat, asks_for_usage, openai_refusal
from wfb_core.dialects.request import Document, flag, not_understood, parse, part_of, whole
from wfb_core.dialects.tally import Tally

SILENT = frozenset(
    {
        "model",
        "prompt",
        "suffix",
        "stream",
        "stream_options",
        "max_tokens",
        "min_tokens",
        "n",
        "best_of",
        "echo",
        "temperature",
        "top_p",
        "seed",
        "random_seed",
        "stop",
        "user",
        "logprobs",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
    }
)
_LEGACY_CAP = 16
"""What `max_tokens` is where it is left out: openai/types/completion_create_params.py."""


class OpenAICompletions:
    """POST /completions and /fim/completions."""

    name = "openai-completions"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        fill = "/fim/" in path
        if not body:
            raise not_understood("the body is empty; send a prompt")
        document = parse(headers, body)
        model = asked_model(document, path)
        provider = biller_of(provider, model)
        tally = Tally()
        prompts = document.get("prompt")
        count = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
        tally.messages = count
        tally.text(prompts)
        tally.text(document.get("suffix"))
        tally.rest(document, SILENT)
        stream = flag(document, "stream")
        choices = max(whole(document, "n", 1) or 1, whole(document, "best_of", 1) or 1)
        cap = whole(document, "max_tokens")
        if cap is None and provider in {"openai", "azure"}:
            cap = _LEGACY_CAP
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation="fim.completions" if fill else "completions",
            model=model,
            stream=stream,
            cap=cap,
            choices=choices * count,
            inputs=count,
            input_bytes=tally.size,
            messages=tally.messages,
            wants_usage_chunk=not stream
            or flag(part_of(document, "stream_options", dict), "include_usage")
            or not asks_for_usage(provider),
            deployment=is_deployment(path, provider),
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """Asks for the usage chunk as chat does."""
        return OpenAIChat().prepare(document, facts)

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `max_tokens` to at most `cap`; False, unchanged, where a signature covers the body."""
        if facts.signed:
            return False
        document["max_tokens"] = cap if facts.cap is None else min(facts.cap, cap)
        return True

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
        return open_reader(CompletionsMeter(facts, headers), facts.stream, strip_usage_chunk, headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


class CompletionsMeter(ChatMeter):
    """Reads chunks whose text stands in `choices[].text`; a fill in the middle answers as chat does."""

    def _last(self, index: int) -> Event:
        if self._facts.operation != "completions":
            return super()._last(index)
        return {
            "id": self.found.response_id or "cmpl-wfb",
            "object": "text_completion",
            "created": self._created,
            "model": self.found.served_model or self._facts.model,
            "choices": [{"index": index, "text": "", "logprobs": None, "finish_reason": "length"}],
        }
