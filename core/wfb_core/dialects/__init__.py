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
from wfb_core.dialects.answer import DEFAULT_TIER, PENDING_RESULT, Answer, AnswerReader
from wfb_core.dialects.anthropic_batches import AnthropicBatches
from wfb_core.dialects.anthropic_messages import AnthropicMessages
from wfb_core.dialects.bedrock_converse import BedrockConverse
from wfb_core.dialects.bedrock_invoke import BedrockInvoke
from wfb_core.dialects.cohere_chat import CohereChat
from wfb_core.dialects.cohere_embed import CohereEmbed
from wfb_core.dialects.gemini_embeddings import GeminiEmbeddings
from wfb_core.dialects.gemini_generate import GeminiGenerate
from wfb_core.dialects.gemini_interactions import GeminiInteractions
from wfb_core.dialects.gemini_live import GeminiLive
from wfb_core.dialects.grpc_vertex import GrpcVertex
from wfb_core.dialects.grpc_xai import GrpcXai
from wfb_core.dialects.mistral_ocr import MistralOcr
from wfb_core.dialects.ollama import Ollama
from wfb_core.dialects.openai_audio import OpenAIAudio
from wfb_core.dialects.openai_batches import OpenAIBatches
from wfb_core.dialects.openai_chat import OpenAIChat
from wfb_core.dialects.openai_completions import OpenAICompletions
from wfb_core.dialects.openai_embeddings import OpenAIEmbeddings
from wfb_core.dialects.openai_images import OpenAIImages
from wfb_core.dialects.openai_realtime import OpenAIRealtime
from wfb_core.dialects.openai_responses import OpenAIResponses
from wfb_core.dialects.openai_responses_socket import ResponsesSocket
from wfb_core.dialects.refusal import Refusal
from wfb_core.dialects.request import Document, NotUnderstood, serialise
from wfb_core.dialects.socket import SocketDialect, SocketMeter


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

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model, in the document or in the path; returns the path to ask."""

    def model_in(self, path: str) -> str | None:
        """The model that a path names; None where the body does."""

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
    dialect.name: dialect
    for dialect in (
        AnthropicMessages(),
        GeminiInteractions(),
        GeminiEmbeddings(),
        AnthropicBatches(),
        BedrockConverse(),
        BedrockInvoke(),
        CohereChat(),
        CohereEmbed(),
        GeminiGenerate(),
        GrpcVertex(),
        GrpcXai(),
        MistralOcr(),
        Ollama(),
        OpenAIAudio(),
        OpenAIBatches(),
        OpenAIChat(),
        OpenAICompletions(),
        OpenAIEmbeddings(),
        OpenAIImages(),
        OpenAIResponses(),
    )
}
"""Every dialect of HTTP exchanges by its name."""

SOCKETS: dict[str, SocketDialect] = {
    dialect.name: dialect for dialect in (GeminiLive(), OpenAIRealtime(), ResponsesSocket())
}
"""Every dialect of WebSockets by its name."""

__all__ = [
    "DEFAULT_TIER",
    "DIALECTS",
    "PENDING_RESULT",
    "SOCKETS",
    "Answer",
    "AnswerReader",
    "Dialect",
    "Document",
    "NotUnderstood",
    "Refusal",
    "SocketDialect",
    "SocketMeter",
    "serialise",
]
