"""Google's generateContent and streamGenerateContent, of the Gemini API and of Vertex AI.

Facts are from google-genai 3.4 (types.py: GenerateContentResponseUsageMetadata, GenerateContentResponse, ServiceTier,
TrafficType; models.py) and ai.google.dev/api/generate-content: the prompt holds what the cache read, while what tools
put into it and what the model thought stand beside prompt and candidates. Every object of a stream may carry counts:
they are running totals that may fall again where a tool's turn begins, so the last object that has any counts whole.
Streams are server-sent events with ``alt=sse``, else an array that comes in pieces.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from wfb_core.call import CallFacts
from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import (
    DEFAULT_TIER,
    AnswerReader,
    Event,
    Found,
    counted,
    open_reader,
    strings,
    tokens,
)
from wfb_core.dialects.framing import ARRAY, LINES, SSE
from wfb_core.dialects.request import Document, header, not_understood, parse, part_of, whole
from wfb_core.dialects.tally import Tally
from wfb_core.dialects.text_size import text_bytes
from wfb_core.usage import Usage

SILENT = frozenset(
    [
        "model",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "serviceTier",
        "store",
    ]
)
"""Fields that are no input, or are read by themselves, in either spelling; every other one is counted."""

HOSTED_TOOLS = {
    "googleSearch": "google_search",
    "googleSearchRetrieval": "google_search",
    "enterpriseWebSearch": "google_search",
    "parallelAiSearch": "web_search",
    "exaAiSearch": "web_search",
    "googleMaps": "google_maps",
    "codeExecution": "code_execution",
    "urlContext": "url_context",
    "retrieval": "retrieval",
    "fileSearch": "file_search",
    "computerUse": "computer_use",
    "mcpServers": "mcp",
}
"""Tools that Google runs or describes itself, by the name that findings give them."""

TRAFFIC = {
    "ON_DEMAND": DEFAULT_TIER,
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
    1: DEFAULT_TIER,
    2: "provisioned_throughput",
}
"""Vertex AI's words for the tier that served a call, and their numbers where enumerations are asked for so."""

AUDIO, IMAGE = "audio", "image"
MODALITIES = {
    "AUDIO": AUDIO,
    "IMAGE": IMAGE,
    "VIDEO": IMAGE,
    "DOCUMENT": IMAGE,
    2: IMAGE,
    3: IMAGE,
    4: AUDIO,
    5: IMAGE,
}
"""Modalities that may have a rate of their own; a page of a document is read as an image."""


class GeminiGenerate:
    """POST …/models/{model}:generateContent and :streamGenerateContent."""

    name = "gemini-generate"
    provider = "google"

    def read_request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str = provider
    ) -> tuple[CallFacts, Document]:
        """What the request asks for, and its parsed body; raises NotUnderstood."""
        del method
        target = Target.of(path)
        if target is None:
            raise not_understood("the path names no model; ask for …/models/MODEL:generateContent")
        document = parse(headers, body)
        tally = Tally()
        read_contents(tally, document)
        read_tools(tally, listed(document.get("tools")))
        if field(document, "cachedContent") is not None:
            tally.hide("cachedContent")
        tally.rest({name: value for name, value in document.items() if camel(name) not in SILENT}, ())
        config = part_of(document, spelled(document, "generationConfig"), dict)
        tally.text(field(config, "responseSchema"))
        tally.text(field(config, "responseJsonSchema"))
        facts = CallFacts(
            dialect=self.name,
            provider=provider,
            operation=target.verb,
            model=target.model,
            stream=target.verb.startswith("stream"),
            cap=whole(config, spelled(config, "maxOutputTokens")),
            choices=whole(config, spelled(config, "candidateCount")) or 1,
            tier=_tier_asked(document, headers),
            input_bytes=tally.size,
            messages=tally.messages,
            tools=tally.tools,
            media=tuple(tally.media),
            hidden_input=tuple(tally.hidden),
            unbounded=tuple(tally.unbounded),
            reasoning=_thinks(config),
            deployment=target.deployment,
        )
        return facts, document

    def prepare(self, document: Document, facts: CallFacts) -> bool:
        """False: a stream tells its usage unasked."""
        del document, facts
        return False

    def clamp(self, document: Document, facts: CallFacts, cap: int) -> bool:
        """Lowers `maxOutputTokens`, which bounds thinking too, in the spelling that the caller uses."""
        if facts.signed or facts.operation not in CAPPED:
            return False
        name = spelled(document, "generationConfig")
        config = document.get(name)
        config = dict(config) if isinstance(config, dict) else {}
        inside = spelled(config, "maxOutputTokens", like=name)
        asked = config.get(inside)
        config[inside] = cap if asked is None else min(asked, cap)
        document[name] = config
        return True

    def with_model(self, document: Document, path: str, model: str) -> str:
        """Asks for another model: in the path, and in the body where that repeats it."""
        return with_model(document, path, model)

    def model_in(self, path: str) -> str | None:
        """The model that the path names."""
        target = Target.of(path)
        return None if target is None else target.model

    def reader(
        self, facts: CallFacts, strip_usage_chunk: bool = False, headers: Mapping[str, str] | None = None
    ) -> AnswerReader:
        """A reader for the answer with these headers; there is no usage chunk to strip."""
        del strip_usage_chunk
        return open_reader(GenerateMeter(facts, headers or {}), facts.stream, strip=False, headers=headers or {})

    def refusal(
        self, reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None = None
    ) -> refusals.Refusal:
        """A refusal in Google's error shape; see refusal.answer."""
        return google_refusal(reason, message, status, details, retry_after)


CAPPED = frozenset({"generateContent", "streamGenerateContent"})
"""Operations whose output a request can bound."""


# What all of Google's dialects share.


class Target:
    """What a path of Google's APIs asks: ``PREFIX/COLLECTION/NAME:VERB?QUERY``, names percent-encoded."""

    __slots__ = ("collection", "name", "prefix", "query", "verb")

    def __init__(self, prefix: str, collection: str, name: str, verb: str, query: str) -> None:
        self.prefix, self.collection, self.name, self.verb, self.query = prefix, collection, name, verb, query

    @classmethod
    def of(cls, path: str) -> "Target | None":
        """The parts of a path; None where it names no model."""
        path, mark, query = path.partition("?")
        head, _, last = path.rstrip("/").rpartition("/")
        name, colon, verb = unquote(last).rpartition(":")
        prefix, _, collection = head.rpartition("/")
        if not (colon and name and collection):
            return None
        return cls(prefix, unquote(collection), name, verb, mark + query)

    @property
    def deployment(self) -> bool:
        """Whether the name is one that a customer chose."""
        return self.collection != "models"

    @property
    def model(self) -> str:
        """The model's name; a tuned or deployed one with its collection: ``tunedModels/mine``."""
        return f"{self.collection}/{self.name}" if self.deployment else self.name

    def at(self, model: str) -> str:
        """The path that asks the same of another model."""
        prefix = f"{self.prefix}/publishers/google" if self.collection == "endpoints" else self.prefix
        return f"{prefix}/models/{quote(model, safe='@')}:{self.verb}{self.query}"


def with_model(document: Document, path: str, model: str) -> str:
    """Asks for another model: in the path, and in the body's `model` and its requests' where those repeat it."""
    requests = document.get("requests")
    for part in (document, *(requests if isinstance(requests, list) else ())):
        if isinstance(part, dict) and isinstance(named := part.get("model"), str):
            part["model"] = f"{named.rpartition('/')[0]}/{model}" if "/" in named else model
    target = Target.of(path)
    return path if target is None else target.at(model)


_CAPITAL = re.compile(r"[A-Z]")
_LOW = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """A field's name as Google's JSON has it, whichever of the two spellings it takes came."""
    return _LOW.sub(lambda found: found[1].upper(), name) if "_" in name else name


def spelled(document: Mapping[str, Any], name: str, like: str = "") -> str:
    """A field's name as the caller spells it, camelCase or snake_case; raises NotUnderstood where both are there.

    Where neither is, `like` is a name in the spelling to use.
    """
    snake = _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)
    if snake != name and snake in document:
        if name in document:
            raise not_understood(f"{name} is named twice, in two spellings; name it once")
        return snake
    return snake if "_" in like and name not in document else name


def field(document: Mapping[str, Any], name: str) -> Any:
    """A field in either spelling; None where it is missing; raises NotUnderstood where both are there."""
    return document.get(spelled(document, name))


def read_contents(tally: Tally, document: Document) -> None:
    """Counts `contents` and `systemInstruction`: text, media in base64, files that only an address names."""
    contents = document.get("contents")
    for content in (*listed(contents), *listed(field(document, "systemInstruction"))):
        read_content(tally, content)


def listed(value: Any) -> list[Any]:
    """A repeated field as a list: Google takes a single one without brackets."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def read_content(tally: Tally, content: Any) -> None:
    """Counts one content: its parts, and whatever else stands there as text."""
    tally.messages += 1
    if not isinstance(content, dict):
        tally.text(content)
        return
    for part in listed(content.get("parts")):
        _read_part(tally, part)
    tally.text({name: value for name, value in content.items() if name != "parts"})


def _read_part(tally: Tally, part: Any) -> None:
    if not isinstance(part, dict):
        tally.text(part)
        return
    for name, value in part.items():
        match camel(name):
            case "inlineData" if isinstance(value, dict) and isinstance(value.get("data"), str):
                tally.add_media(_kind(field(value, "mimeType")), value["data"])
            case "fileData":
                tally.media.append((_kind(field(value, "mimeType") if isinstance(value, dict) else None), 0))
                tally.hide("fileData")
            case "thoughtSignature" | "videoMetadata":
                pass
            case "functionResponse" if isinstance(value, dict):
                for deeper in listed(value.get("parts")):
                    _read_part(tally, deeper)
                tally.text({key: rest for key, rest in value.items() if key != "parts"})
            case _:
                tally.text(value)


def _kind(mime: Any) -> str:
    """A medium's kind by its type; what is not known is a document, which nothing bounds."""
    kind = mime.partition("/")[0] if isinstance(mime, str) else ""
    return kind if kind in {"image", "audio", "video"} else "document"


def read_tools(tally: Tally, tools: list[Any]) -> None:
    """Counts function declarations; tools that Google runs may bill beyond any bound."""
    for tool in tools:
        if not isinstance(tool, dict):
            tally.text(tool)
            continue
        for name, value in tool.items():
            if camel(name) == "functionDeclarations":
                tally.tools += len(value) if isinstance(value, list) else 1
                tally.text(value)
            elif value is not None:
                tally.tools += 1
                tally.unbind(HOSTED_TOOLS.get(camel(name), "unknown_tool"))


def _tier_asked(document: Document, headers: Mapping[str, str]) -> str | None:
    """The tier that the body asks for, or the headers of Vertex AI do; None for the standard one.

    The headers: cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo, flex-paygo and provisioned-throughput.
    """
    tier = served_tier(field(document, "serviceTier"))
    shared = header(headers, "x-vertex-ai-llm-shared-request-type")
    if tier is None and shared:
        tier = shared
    if tier is None and header(headers, "x-vertex-ai-llm-request-type") == "dedicated":
        tier = "provisioned_throughput"
    return None if tier == DEFAULT_TIER else tier


def served_tier(word: Any) -> str | None:
    """A service tier in its plain word: ``flex``, ``priority``, ``default``; None where none is named."""
    if not isinstance(word, str):
        return None
    word = word.lower().removeprefix("service_tier_")
    if word in {"", "unspecified"}:
        return None
    return DEFAULT_TIER if word == "standard" else word


def _thinks(config: Document) -> bool | None:
    """Whether thinking is asked for, or turned off; None where the model's own default holds."""
    thinking = field(config, "thinkingConfig")
    if not isinstance(thinking, dict):
        return None
    budget = field(thinking, "thinkingBudget")
    if budget == 0:
        return False
    level = field(thinking, "thinkingLevel")
    return True if budget is not None or level is not None else None


def google_refusal(
    reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None
) -> refusals.Refusal:
    """A refusal in the shape of all Google APIs (google.rpc.Status); the budget stands in `error.budget`.

    RESOURCE_EXHAUSTED is only said where trying again helps: Google's SDKs and those built on them retry it blindly.
    """
    word = STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    if status == 429 and retry_after is None:
        word = "FAILED_PRECONDITION"
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusals.code(reason, status, retry_after).upper(),
        "domain": "workflow-budget",
    }
    error: dict[str, Any] = {"code": status, "message": message, "status": word, "details": [info]}
    if retry_after is not None:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo"}
        seconds = min(max(refusals.SHORTEST, retry_after), refusals.LONGEST)
        error["details"].append({**retry, "retryDelay": f"{-int(-seconds // 1)}s"})
    error["budget"] = refusals.budget_object(reason, details)
    return refusals.answer(status, reason, details, retry_after, {"error": error})


STATUSES = {
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


# Counts.

COUNTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "responseTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
)


def plain_counts(counts: Any) -> Mapping[str, Any]:
    """A `usageMetadata` object with its names in camelCase; raises ValueError where it is no object."""
    if not isinstance(counts, dict):
        raise ValueError("usageMetadata is no object")
    if any("_" in name for name in counts):
        return {camel(name): value for name, value in counts.items()}
    return counts


def says_counts(counts: Mapping[str, Any]) -> bool:
    """Whether any count stands there: Vertex AI's early objects only name their traffic."""
    return any(counts.get(name) is not None for name in COUNTS)


def metadata_usage(counts: Mapping[str, Any], units: Mapping[str, int] | None = None) -> Usage:
    """Totals of a `usageMetadata` object in camelCase; raises ValueError where its numbers are none."""
    prompt, tool = tokens(counts, "promptTokenCount"), tokens(counts, "toolUsePromptTokenCount")
    output = "candidatesTokenCount"
    if counts.get(output) is None:
        output = "responseTokenCount"  # the Live API's name
    total = counts.get("totalTokenCount")
    totals = Totals.checked(
        prompt=prompt,
        tool=tool,
        output=None if counts.get(output) is None else tokens(counts, output),
        thoughts=tokens(counts, "thoughtsTokenCount"),
        cached=tokens(counts, "cachedContentTokenCount"),
        total=None if total is None else tokens(counts, "totalTokenCount"),
    )
    into = modalities(counts, "promptTokensDetails", "promptTokenDetails", "toolUsePromptTokensDetails")
    read = modalities(counts, "cacheTokensDetails")
    out = modalities(counts, output.replace("TokenCount", "TokensDetails"))
    return totals.usage(into, read, out, units)


class Totals:
    """Google's counts, of which the provider's own total says which stand inside another."""

    __slots__ = ("cached", "input", "output", "thoughts")

    def __init__(self, into: int, output: int, thoughts: int, cached: int) -> None:
        self.input, self.output, self.thoughts, self.cached = into, output, thoughts, cached

    @classmethod
    def checked(
        cls, *, prompt: int, tool: int, output: int | None, thoughts: int, cached: int, total: int | None
    ) -> "Totals":
        """Adds tools to the prompt and thoughts to the output, as documented, unless the total holds them already.

        An output that is missing (some models leave it out) is what the total has beyond the rest.
        """
        shown = output or 0
        into, out = prompt + tool, shown + thoughts
        beyond = 0 if total is None else total - into - out
        if beyond > 0:
            if beyond == cached and (output is not None or cached > prompt):
                into += cached  # the cache was left out of the prompt
            elif output is None:
                out += beyond
        elif beyond < 0:
            if -beyond == thoughts <= shown:
                out = shown
            elif -beyond == tool <= prompt:
                into = prompt
            elif -beyond == thoughts + tool and thoughts <= shown and tool <= prompt:
                into, out = prompt, shown
        return cls(into, out, thoughts, cached)

    def usage(
        self, into: Mapping[str, int], read: Mapping[str, int], out: Mapping[str, int], units: Mapping[str, int] | None
    ) -> Usage:
        """The Usage, with the parts of each total that are sound and pictures."""
        return counted(
            units,
            input_tokens=self.input,
            cache_read_tokens=self.cached,
            output_tokens=self.output,
            reasoning_tokens=self.thoughts,
            audio_input_tokens=into.get(AUDIO, 0),
            image_input_tokens=into.get(IMAGE, 0),
            audio_cache_read_tokens=read.get(AUDIO, 0),
            image_cache_read_tokens=read.get(IMAGE, 0),
            audio_output_tokens=out.get(AUDIO, 0),
            image_output_tokens=out.get(IMAGE, 0),
        )


def modalities(counts: Mapping[str, Any], *names: str) -> dict[str, int]:
    """Tokens of sound and of pictures in lists of {modality, tokenCount}; what is malformed there says nothing."""
    found: dict[str, int] = {}
    for name in names:
        entries = counts.get(name)
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                continue
            modality = entry.get("modality")
            kind = MODALITIES.get(modality) if isinstance(modality, str | int) else None
            count = entry.get("tokenCount", entry.get("token_count"))
            if kind and isinstance(count, int) and not isinstance(count, bool) and count > 0:
                found[kind] = found.get(kind, 0) + count
    return found


_GENERATION = re.compile(r"gemini-(?:[a-z]+-)*(\d+)")


def billed_searches(queries: int, model: str) -> int:
    """How many searches a call pays for that ran so many different ones, empty ones left out.

    From Gemini 3 on each query has its fee, before that a prompt had one fee however many it ran
    (https://ai.google.dev/gemini-api/docs/google-search, Pricing).
    """
    generation = _GENERATION.search(model)
    if generation is not None and int(generation[1]) < 3:
        return min(queries, 1)
    return queries


# Answers.

_BEGIN = re.compile(
    rb'\s*+(?:data:\s*+|[\[,]\s*+)?\{\s*+"candidates"\s*+:\s*+\[\s*+\{\s*+"content"\s*+:\s*+\{\s*+(?:"role"\s*+:\s*+"model"\s*+,'
    rb'\s*+)?"parts"\s*+:\s*+\[\s*+\{\s*+"text"\s*+:\s*+"((?:[^"\\]++|\\.)*+)"'
)
"""How an object begins that brings text, and is not read further unless one of these words follows:"""
_WORTH_READING = (
    b'"finish',
    b'"text"',
    b'"function',
    b'"inline',
    b'"exec',
    b'"code',
    b'"grounding',
    b'"error',
    b"data:",
)
_REMEMBERED = 8
_COUNTS = (b'okenCount":', b'oken_count":')
_UNFINISHED = frozenset({None, "", 0, "FINISH_REASON_UNSPECIFIED"})


class GenerateMeter:
    """Reads objects; of most only the text's length, and the counts once they are asked for."""

    def __init__(self, facts: CallFacts, headers: Mapping[str, str]) -> None:
        self._found = Found(tier=served_tier(header(headers, "x-gemini-service-tier") or None))
        self._facts = facts
        self._later: bytes | None = None
        self._opened = self._ended = False
        self._elements = 0
        self._queries: dict[str, None] = {}
        self._plain: set[bytes] = set()
        self._counts: Mapping[str, Any] = {}

    @property
    def found(self) -> Found:
        """What was learned, the counts of the last object among it."""
        if self._later is not None:
            raw, self._later = self._later, None
            _, event = self._found.event(raw)
            if event is not None:
                self._count(event)
        return self._found

    @found.setter
    def found(self, found: Found) -> None:
        """Takes what another reader of the same answer has learned."""
        self._found, self._later = found, None

    def frame(self, raw: bytes) -> bool:
        """Reads one object; never True."""
        found = self._found
        if self._opened and (text := _BEGIN.match(raw)) is not None:
            end, find = text.end(), raw.find
            counts = find(b'"usage', end)
            between = raw[end:counts] if counts >= 0 else raw[end:]
            plain = between in self._plain or self._is_plain(between)
            if plain and (counts < 0 or (find(b'"error', counts) < 0 and find(b"data:", counts) < 0)):
                found.frames += 1
                self._elements += 1
                found.output_bytes += text.end(1) - text.start(1)
                if counts >= 0 and (find(_COUNTS[0], counts) >= 0 or find(_COUNTS[1], counts) >= 0):
                    self._later = raw
                return False
        return self._parse(raw)

    def _is_plain(self, between: bytes) -> bool:
        """Whether nothing worth reading stands between an object's text and its counts; remembers what was plain."""
        if any(word in between for word in _WORTH_READING):
            return False
        if len(self._plain) < _REMEMBERED:
            self._plain.add(between)
        return True

    def _parse(self, raw: bytes) -> bool:
        found = self.found
        if found.framing == ARRAY and raw.strip().startswith(b"]"):
            self._ended = found.finished = True
            self._count({})
            return False
        _, event = found.event(raw)
        if event is not None:
            found.frames += 1
            self._elements += 1
            self._opened = True
            self._read(event)
        return False

    def document(self, document: Any) -> None:
        """Reads a whole answer: one object, or the array of a stream's."""
        self._found.finished = True
        for event in (document or [None]) if isinstance(document, list) else [document]:
            if isinstance(event, dict):
                self._read(event)
            else:
                self.found.broken()

    def _read(self, event: Event) -> None:
        found = self._found
        if event.get("error") is not None:
            found.failed = True
        for name, value in event.items():
            match camel(name):
                case "modelVersion" if isinstance(value, str):
                    found.served_model = value
                case "responseId" if isinstance(value, str):
                    found.response_id = value
                case "promptFeedback" if isinstance(value, dict):
                    if field(value, "blockReason") not in {None, 0, "BLOCK_REASON_UNSPECIFIED"}:
                        found.finished = True
                case "candidates" | "answer":
                    for candidate in listed(value):
                        if isinstance(candidate, dict):
                            self._candidate(candidate)
        self._count(event)

    def _candidate(self, candidate: Event) -> None:
        found = self._found
        reason = field(candidate, "finishReason")
        if not isinstance(reason, str | int | None) or reason not in _UNFINISHED:
            found.finished = True
        found.output_bytes += sum(text_bytes(text) for text in _shown(candidate.get("content")))
        grounding = field(candidate, "groundingMetadata")
        if isinstance(grounding, dict):
            for name in ("webSearchQueries", "imageSearchQueries"):
                for query in listed(field(grounding, name)):
                    if isinstance(query, str) and query.strip():
                        self._queries[query.strip()] = None

    def _count(self, event: Event) -> None:
        """Takes an object's counts in place of earlier ones; they are partial until the answer's end is seen."""
        found = self._found
        reported = event.get("usageMetadata", event.get("usage_metadata"))
        if reported is not None:
            try:
                counts = plain_counts(reported)
            except ValueError as e:
                found.malformed(e)
                return
            self._tier(counts)
            if says_counts(counts):
                self._counts = counts
            elif not self._counts and found.finished and "candidates" not in event:
                found.count_usage(Usage())  # a prompt that was blocked before anything read it
                return
        if not self._counts:
            return
        searches = billed_searches(len(self._queries), found.served_model or self._facts.model)
        try:
            usage = metadata_usage(self._counts, {"web_searches": searches})
        except ValueError as e:
            found.malformed(e)
            return
        if found.finished or found.failed or self._facts.operation == "generateAnswer":
            found.partial = None
            found.count_usage(usage)
        else:
            found.partial = usage

    def _tier(self, counts: Mapping[str, Any]) -> None:
        traffic = counts.get("trafficType")
        tier = TRAFFIC.get(traffic) if isinstance(traffic, str | int) else None
        if tier is None and isinstance(traffic, str) and not traffic.endswith("UNSPECIFIED"):
            tier = traffic.lower()
        self._found.tier = served_tier(counts.get("serviceTier")) or tier or self._found.tier

    def ending(self) -> bytes:
        """An empty candidate with the finish reason MAX_TOKENS, and what closes the array where the stream is one."""
        found = self.found
        if found.framing == ARRAY and self._ended:
            return b""
        last = b"" if found.finished else json.dumps(self._last(), separators=(",", ":")).encode()
        if found.framing == SSE:
            return b"data: " + last + b"\r\n\r\n" if last else b""
        if found.framing == LINES:
            return last + b"\n" if last else b""
        if found.framing == ARRAY:
            return (b"," if self._elements else b"[") + last + b"]" if last else b"]"
        return b""

    def _last(self) -> Event:
        counts = dict(self._counts)
        into = counts.get("promptTokenCount")
        made = max(_number(counts.get("candidatesTokenCount")), self._found.output_bytes // 4)
        counts |= {"promptTokenCount": _number(into), "candidatesTokenCount": made}
        counts["totalTokenCount"] = sum(
            _number(counts.get(name)) for name in (*COUNTS[:2], "thoughtsTokenCount", "toolUsePromptTokenCount")
        )
        candidate = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "MAX_TOKENS", "index": 0}
        return {
            "candidates": [candidate],
            "usageMetadata": counts,
            "modelVersion": self._found.served_model or self._facts.model,
        }


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _shown(content: Any) -> Iterator[str]:
    """The text of a candidate's content; signatures and media in base64 are left out."""
    for part in listed(content.get("parts")) if isinstance(content, dict) else ():
        if isinstance(part, dict):
            for name, value in part.items():
                if camel(name) not in {"thoughtSignature", "inlineData"}:
                    yield from strings(value)
