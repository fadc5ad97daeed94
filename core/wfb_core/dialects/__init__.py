"""The wire shapes of providers' APIs: each reads requests, watches answers and refuses in its own words.

- A dialect is one file with one class, one row in DIALECTS, one row of paths in `hosts`, one folder of samples in the
  tests. It holds no state; what belongs to a call is in its CallFacts, its parsed document and its reader.
- `request` reads bodies, `tally` and `text_size` measure them, `sse`, `inflate` and `answer` watch answers, `refusal`
  holds what all refusals share.
- Pure: bytes in, bytes and facts out. No I/O, no clock.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import DEFAULT_TIER, Answer, AnswerReader
from wfb_core.dialects.anthropic_messages import AnthropicMessages
from wfb_core.dialects.openai_chat import OpenAIChat
from wfb_core.dialects.openai_responses import OpenAIResponses
from wfb_core.dialects.refusal import Refusal
from wfb_core.dialects.request import Document, NotUnderstood, serialise


class Dialect(Protocol):
    """One wire shape."""

    name: str
    """As in CallFacts.dialect and the host table."""
    provider: str
    """Who bills where the caller does not say."""

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = ...
    ) -> tuple[CallFacts, Document]:
        """What a request asks for, and its parsed body, to be changed and serialised where it must; raises NotUnderstood."""

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """Changes what metering needs, as little as possible; True where the document changed."""

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers the output cap to at most `cap` tokens a choice; False, unchanged, where the request would break."""

    def with_model(self, document: Document, model: str) -> None:
        """Asks for another model."""

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer whose headers these are; strips the usage chunk that only `prepare` asked for."""

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> Refusal:
        """(status, headers, body) in the provider's own shape.

        `details` as in refusal.DETAILS. Without `retry_after` SDKs are told not to try again; with it, to wait that
        many seconds, kept within 1 and 60.
        """


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (OpenAIChat(), OpenAIResponses(), AnthropicMessages())
}
"""Every dialect by its name."""

__all__ = [
    "DEFAULT_TIER",
    "DIALECTS",
    "Answer",
    "AnswerReader",
    "Dialect",
    "Document",
    "NotUnderstood",
    "Refusal",
    "serialise",
]
