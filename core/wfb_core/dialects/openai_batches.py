"""OpenAI's Batch API: created with a file's id, paid with what the batch says it used once it has ended.

Facts are from openai-python 3.54 (types/batch.py, batch_usage.py, batch_create_params.py): the requests stand in an
uploaded file, so a creation shows neither model nor input; `usage` is the whole batch's, and a batch that expired or was
cancelled is billed for what was done. Polls repeat it; it is settled once by the batch's id.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import PENDING_RESULT, AnswerReader, Found, open_reader
from wfb_core.dialects.openai_chat import openai_refusal
from wfb_core.dialects.openai_responses import responses_usage
from wfb_core.dialects.request import Document, not_understood, parse
from wfb_core.usage import Usage

BATCH = "batch"
ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
"""States in which a batch stays: openai/types/batch.py."""


class OpenAIBatches:
    """POST /v1/batches and GET /v1/batches/{id}."""

    name = "openai-batches"
    provider = "openai"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        if method.upper() == "GET":
            name = unquote(path.partition("?")[0].rstrip("/").rpartition("/")[2])
            return self._facts(provider, "batches.retrieve", polls=name), {}
        document = parse(headers, body)
        if not isinstance(document.get("input_file_id"), str):
            raise not_understood("input_file_id is missing or no string; send the id of an uploaded file")
        return self._facts(provider, "batches", unbounded=(BATCH,), hidden=("input_file_id",)), document

    def _facts(
        self,
        provider: str,
        operation: str,
        unbounded: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
        polls: str | None = None,
    ) -> CallFacts:
        return CallFacts(
            dialect=self.name,
            provider=provider,
            operation=operation,
            model="",
            stream=False,
            cap=None if polls is None else 0,
            tier=BATCH,
            hidden_input=hidden,
            unbounded=unbounded,
            polls=polls,
        )

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a batch tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: the requests stand in a file."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """The path as it is: the models stand in a file."""
        del document, model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the models stand in a file."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers."""
        del strip_usage_chunk
        return open_reader(BatchMeter(facts), stream=False, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in OpenAI's error shape; see refusal.answer."""
        return openai_refusal(reason, message, status, details, retry_after)


class BatchMeter:
    """Reads one batch object."""

    def __init__(self, facts: CallFacts) -> None:
        self.found = Found()
        del facts

    def frame(self, raw: bytes) -> bool:
        """Reads a batch that came as one event; never True."""
        _, event = self.found.event(raw)
        if event is not None:
            self.found.frames += 1
            self.document(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole batch: its usage where it has ended, else that a result is to come."""
        found = self.found
        if not isinstance(document, dict):
            found.broken()
            return
        if document.get("error"):
            found.failed = True
            return
        for name, key in (("served_model", "model"), ("response_id", "id")):
            if isinstance(document.get(key), str) and document[key]:
                setattr(found, name, document[key])
        status, counts = document.get("status"), document.get("usage")
        if not isinstance(status, str):
            return
        if status not in ENDED:
            found.finding = PENDING_RESULT
            return
        found.tier = BATCH
        found.failed = status == "failed"
        try:
            if counts:
                found.count_usage(responses_usage(counts if isinstance(counts, dict) else {})[0])
            elif found.failed or _nothing_done(document.get("request_counts")):
                found.count_usage(Usage())
        except ValueError as e:
            found.malformed(e)

    def ending(self) -> bytes:
        """Nothing: a body cannot end early."""
        return b""


def _nothing_done(counts: Any) -> bool:
    """Whether a batch ended before any of its requests was answered: nothing is billed."""
    return isinstance(counts, dict) and counts.get("completed") == 0
