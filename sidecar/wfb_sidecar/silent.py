"""The dialect of what is no HTTP exchange: a response over a socket can be neither changed nor refused in words of its own."""

from collections.abc import Mapping
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS, AnswerReader, Dialect, Document, NotUnderstood
from wfb_core.dialects.refusal import Refusal
from wfb_core.reasons import BODY_NOT_UNDERSTOOD


class Silent:
    """Refuses the upgrade as OpenAI would; a socket that is open already is closed with the message as its reason."""

    name = "socket"
    provider = ""

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """Raises NotUnderstood: a socket has no request."""
        del method, path, headers, body, provider
        raise NotUnderstood(BODY_NOT_UNDERSTOOD, "a socket has no body; send messages over it")

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: nothing is changed."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """False: the message may have gone already."""
        del document, facts, cap
        return False

    def with_model(self, document: Document, path: str, model: str) -> str:
        """The path as it is."""
        del document, model
        return path

    def model_in(self, path: str) -> str | None:
        """None: the socket's own dialect knows."""
        del path
        return None

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader of nothing."""
        return DIALECTS["openai-chat"].reader(facts, strip_usage_chunk, headers)

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> Refusal:
        """The answer to an upgrade."""
        return DIALECTS["openai-chat"].refusal(reason, message, status, details, retry_after)


SILENT: Dialect = Silent()
