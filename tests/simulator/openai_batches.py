"""OpenAI's batches: ``POST …/batches`` takes the id of a file with calls, ``GET …/batches/{id}`` finds them done.

Shapes: openai-python ``types/batch.py``, ``types/batch_usage.py``. Half price. The file was swallowed: the batch is of as
many tokens as the behaviour says, and of the model that ``metadata.model`` names, else of gpt-4o-mini.
"""

from decimal import Decimal
from typing import Any

from simulator import openai_errors, prices, responses
from simulator.answer import Answer, Ask
from simulator.asked import Asked
from simulator.framing import packed
from simulator.refused import Refused
from simulator.shape import Shape


class Batches(Shape):
    """Billed when it is made; its usage is told when it is done."""

    id_prefix = "batch_"

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body = asked.body
        if not body.get("input_file_id") or not body.get("endpoint"):
            raise Refused(400, "Missing required parameter: 'input_file_id'.", param="input_file_id")
        named = (body.get("metadata") or {}).get("model", "gpt-4o-mini")
        found = prices.find(asked.provider, named)
        if found is None:
            raise openai_errors.no_such_model(named)
        return Ask(*found, False, None, 1_000, named=named, asked=asked, factor=Decimal("0.5"))

    def _said(self, answer: Answer, status: str) -> dict[str, Any]:
        asked = answer.ask.asked
        body = asked.body if asked else {}
        done = status == "completed"
        return {
            "id": answer.id,
            "object": "batch",
            "endpoint": body.get("endpoint"),
            "model": answer.model,
            "errors": None,
            "input_file_id": body.get("input_file_id"),
            "completion_window": "24h",
            "status": status,
            "output_file_id": f"file-{answer.id}" if done else None,
            "error_file_id": None,
            "created_at": answer.created,
            "completed_at": answer.created if done else None,
            "request_counts": {"total": 1, "completed": int(done), "failed": 0},
            "metadata": body.get("metadata"),
        }

    def whole(self, answer: Answer) -> bytes:
        """The batch as it is made."""
        return packed(self._said(answer, "validating")).encode()

    def polls(self, answer: Answer) -> list[bytes]:
        """For some time in progress, then complete with its usage."""
        working = packed(self._said(answer, "in_progress")).encode()
        told = answer.tell(responses.usage(answer))
        done = {**self._said(answer, "completed"), **({} if told is None else {"usage": told})}
        return [*[working] * answer.behaviour.polls, packed(done).encode()]

    error = openai_errors.error
    too_long = openai_errors.too_long


BATCHES = Batches()
