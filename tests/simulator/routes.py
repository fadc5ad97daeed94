"""Which shape answers what: one table of APIs by host and path.

A request whose host is nobody's (an address on the loopback, say) may use any path of any API; the first that knows it
answers. To ask for a provider without its host, a path may begin with ``/at/HOST``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote

from simulator import free
from simulator.asked import Asked
from simulator.bedrock import CONVERSE, INVOKE
from simulator.chat import CHAT
from simulator.cohere import COHERE_CHAT, COHERE_EMBED, COHERE_RERANK
from simulator.completions import COMPLETIONS
from simulator.embeddings import EMBEDDINGS
from simulator.gemini import GEMINI, GEMINI_EMBEDDINGS
from simulator.messages import MESSAGES
from simulator.mistral_fim import FIM
from simulator.ollama import OLLAMA
from simulator.openai_audio import SPEECH, TRANSCRIPTION
from simulator.openai_batches import BATCHES
from simulator.openai_images import IMAGES
from simulator.realtime import gemini_live, openai_realtime
from simulator.responses import RESPONSES
from simulator.shape import Shape

Free = Callable[[Any, Asked], object]
"""Answers without a bill: of the provider and the request the JSON to say, or bytes kept from before."""

Socket = Callable[[Any, Any, Asked], Any]
"""Speaks over a WebSocket: of the provider's till, the socket and the request that opened it."""


@dataclass(frozen=True, slots=True)
class Api:
    """One provider's API; in paths ``{}`` is one segment or a part of one."""

    provider: str
    """Who bills."""
    hosts: tuple[str, ...]
    shape: Shape
    """Says no where no path is known."""
    calls: Mapping[str, Shape]
    """``METHOD path`` of what is billed."""
    free: Mapping[str, Free]
    sockets: Mapping[str, Socket]


@dataclass(frozen=True, slots=True)
class Route:
    """What a request line came to."""

    api: Api
    names: tuple[str, ...]
    handler: Shape | Free | Socket | None
    """None where nobody knows the path."""
    kind: str
    """``call``, ``free`` or ``socket``."""


def _openai(prefix: str) -> dict[str, Shape]:
    """The calls of OpenAI's API below a prefix."""
    return {
        f"POST {prefix}/chat/completions": CHAT,
        f"POST {prefix}/completions": COMPLETIONS,
        f"POST {prefix}/responses": RESPONSES,
        f"POST {prefix}/embeddings": EMBEDDINGS,
        f"POST {prefix}/images/generations": IMAGES,
        f"POST {prefix}/images/edits": IMAGES,
        f"POST {prefix}/audio/transcriptions": TRANSCRIPTION,
        f"POST {prefix}/audio/translations": TRANSCRIPTION,
        f"POST {prefix}/audio/speech": SPEECH,
        f"POST {prefix}/batches": BATCHES,
    }


def _openai_free(prefix: str) -> dict[str, Free]:
    return {
        f"GET {prefix}/models": free.models_of_openai,
        f"GET {prefix}/models/{{}}": free.model_of_openai,
        f"GET {prefix}/responses/{{}}": free.kept,
        f"GET {prefix}/batches/{{}}": free.kept,
        f"POST {prefix}/responses/input_tokens": free.count_of_openai,
    }


def _compatible(provider: str, hosts: str, *prefixes: str) -> Api:
    """A provider that speaks as OpenAI does."""
    calls: dict[str, Shape] = {}
    listed: dict[str, Free] = {}
    for prefix in prefixes:
        calls |= {
            f"POST {prefix}/chat/completions": CHAT,
            f"POST {prefix}/completions": COMPLETIONS,
            f"POST {prefix}/fim/completions": FIM,
            f"POST {prefix}/embeddings": EMBEDDINGS,
        }
        listed |= {f"GET {prefix}/models": free.models_of_openai, f"GET {prefix}/models/{{}}": free.model_of_openai}
    return Api(provider, tuple(hosts.split()), CHAT, calls, listed, {})


_VERTEX = ("/{}/projects/{}/locations/{}/publishers/google/models/{}", "/{}/publishers/google/models/{}")
_VERTEX_CLAUDE = "/{}/projects/{}/locations/{}/publishers/anthropic/models/{}"
_LIVE = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"

APIS = (
    Api(
        "openai",
        ("api.openai.com", "*.api.openai.com"),
        CHAT,
        _openai("/v1"),
        _openai_free("/v1"),
        {"GET /v1/realtime": openai_realtime},
    ),
    Api(
        "anthropic",
        ("api.anthropic.com",),
        MESSAGES,
        {"POST /v1/messages": MESSAGES},
        {
            "GET /v1/models": free.models_of_anthropic,
            "GET /v1/models/{}": free.model_of_anthropic,
            "POST /v1/messages/count_tokens": free.count_of_anthropic,
        },
        {},
    ),
    Api(
        "google",
        ("generativelanguage.googleapis.com",),
        GEMINI,
        {
            "POST /{}/models/{}:generateContent": GEMINI,
            "POST /{}/models/{}:streamGenerateContent": GEMINI,
            "POST /{}/models/{}:embedContent": GEMINI_EMBEDDINGS,
            "POST /{}/models/{}:batchEmbedContents": GEMINI_EMBEDDINGS,
        },
        {"POST /{}/models/{}:countTokens": free.count_of_google, "GET /{}/models": free.models_of_google},
        {f"GET {_LIVE}": gemini_live},
    ),
    Api(
        "google",
        ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com"),
        GEMINI,
        {
            **{f"POST {place}:generateContent": GEMINI for place in _VERTEX},
            **{f"POST {place}:streamGenerateContent": GEMINI for place in _VERTEX},
            **{f"POST {place}:embedContent": GEMINI_EMBEDDINGS for place in _VERTEX},
            **{f"POST {place}:predict": GEMINI_EMBEDDINGS for place in _VERTEX},
            f"POST {_VERTEX_CLAUDE}:rawPredict": MESSAGES,
            f"POST {_VERTEX_CLAUDE}:streamRawPredict": MESSAGES,
        },
        {
            **{f"POST {place}:countTokens": free.count_of_google for place in _VERTEX},
            f"POST {_VERTEX_CLAUDE.removesuffix('{}')}count-tokens:rawPredict": free.count_of_anthropic,
        },
        {},
    ),
    Api(
        "aws",
        ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime-fips.*.amazonaws.com"),
        CONVERSE,
        {
            "POST /model/{}/converse": CONVERSE,
            "POST /model/{}/converse-stream": CONVERSE,
            "POST /model/{}/invoke": INVOKE,
            "POST /model/{}/invoke-with-response-stream": INVOKE,
        },
        {"POST /model/{}/count-tokens": free.count_of_bedrock},
        {},
    ),
    Api(
        "azure",
        ("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
        CHAT,
        {
            **_openai("/openai/deployments/{}"),
            **_openai("/openai/v1"),
            "POST /openai/responses": RESPONSES,
        },
        {**_openai_free("/openai/v1"), **_openai_free("/openai")},
        {},
    ),
    Api(
        "cohere",
        ("api.cohere.com", "api.cohere.ai"),
        COHERE_CHAT,
        {
            "POST /v2/chat": COHERE_CHAT,
            "POST /v2/embed": COHERE_EMBED,
            "POST /v2/rerank": COHERE_RERANK,
            "POST /v1/embed": COHERE_EMBED,
            "POST /v1/rerank": COHERE_RERANK,
        },
        {"GET /v1/models": free.models_of_cohere, "POST /v1/tokenize": free.count_of_cohere},
        {},
    ),
    Api(
        "ollama",
        ("localhost.ollama", "ollama", "ollama.*"),
        OLLAMA,
        {
            "POST /api/chat": OLLAMA,
            "POST /api/generate": OLLAMA,
            "POST /api/embed": OLLAMA,
            "POST /v1/chat/completions": CHAT,
        },
        {"GET /api/tags": free.models_of_ollama, "GET /api/version": free.version_of_ollama},
        {},
    ),
    _compatible("mistral", "api.mistral.ai codestral.mistral.ai", "/v1"),
    _compatible("groq", "api.groq.com", "/openai/v1"),
    _compatible("x-ai", "api.x.ai *.api.x.ai", "/v1"),
    _compatible("deepseek", "api.deepseek.com", "", "/v1", "/beta"),
    _compatible("perplexity", "api.perplexity.ai", "", "/v1"),
    _compatible("openrouter", "openrouter.ai", "/api/v1"),
    _compatible("together", "api.together.xyz api.together.ai", "/v1"),
    _compatible("fireworks", "api.fireworks.ai", "/inference/v1"),
    _compatible("cerebras", "api.cerebras.ai", "/v1"),
)


def without_host(path: str, host: str) -> tuple[str, str]:
    """The path and the host that are meant, where a path begins with ``/at/HOST``."""
    if path.startswith("/at/"):
        host, _, rest = path.removeprefix("/at/").partition("/")
        return f"/{rest}", host
    return path, host


@lru_cache(1024)
def route(method: str, path: str, host: str, *, for_anthropic: bool = False) -> Route:
    """The route of a request line at a host without its port.

    ``for_anthropic`` tells the two apart that share paths, where the host does not.
    """
    apis = _apis(host)
    if len(apis) > 1 and for_anthropic:
        apis = (APIS[1], *(api for api in apis if api is not APIS[1]))
    line = f"{method} {path}"
    for api in apis:
        for pattern, handler, kind in _table(api.provider, api.hosts):
            if found := pattern.fullmatch(line):
                return Route(api, tuple(map(unquote, found.groups())), handler, kind)
    return Route(apis[0], (), None, "free")


@cache
def _apis(host: str) -> tuple[Api, ...]:
    return tuple(api for api in APIS if any(fnmatchcase(host, name) for name in api.hosts)) or APIS


@cache
def _table(provider: str, hosts: tuple[str, ...]) -> list[tuple[re.Pattern[str], Shape | Free | Socket, str]]:
    api = next(api for api in APIS if (api.provider, api.hosts) == (provider, hosts))
    rows = (("call", api.calls), ("socket", api.sockets), ("free", api.free))
    return [(_pattern(line), handler, kind) for kind, table in rows for line, handler in table.items()]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(re.escape(line).replace(r"\{\}", "([^/]+?)"))
