"""What a request's body puts into the model's input: bytes of text, media, and what adds input that it does not show."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wfb_core.dialects.text_size import text_bytes

Part = Mapping[str, Any]
PartReader = Callable[["Tally", Part], Part]
"""Reads a content part of one type: records its media and returns the part without their payload, to be counted on."""

PER_KEY, PER_ITEM = 6, 2
"""Bytes that JSON puts around a key (quotes, colon, comma, spaces) and an item of a list, where a model sees it as JSON."""
NO_PARTS: Mapping[str, PartReader] = {}


class Tally:
    """Running totals over one body."""

    __slots__ = ("cache_write", "cache_write_1h", "hidden", "media", "messages", "size", "tools", "unbounded")

    def __init__(self) -> None:
        self.size = 0
        self.messages = 0
        self.tools = 0
        self.media: list[tuple[str, int]] = []
        self.hidden: dict[str, None] = {}
        self.unbounded: dict[str, None] = {}
        self.cache_write = False
        self.cache_write_1h = False

    def hide(self, name: str) -> None:
        """Notes a field that adds input which the body does not show."""
        self.hidden[name] = None

    def unbind(self, name: str) -> None:
        """Notes a feature that may bill beyond any bound."""
        self.unbounded[name] = None

    def add_media(self, kind: str, payload: str) -> None:
        """Notes a base64 payload, bare or as a data URL."""
        if payload.startswith("data:"):
            payload = payload.partition(",")[2]
        self.media.append((kind, len(payload) * 3 // 4))

    def text(self, value: Any) -> None:
        """Counts every string of a value that the model reads as text: tools, schemas, arguments."""
        self.content(value, NO_PARTS)

    def content(self, value: Any, parts: Mapping[str, PartReader]) -> None:
        """Counts a value that may hold content parts: payloads of the types in `parts` become media, the rest is text.

        Without recursion: how deep a body nests is the caller's choice, and no stack of ours.
        """
        size = 0
        stack = [value]
        while stack:
            value = stack.pop()
            kind = type(value)
            if kind is str:
                size += len(value) if value.isascii() else text_bytes(value)
            elif kind is dict:
                if parts:
                    name = value.get("type")
                    if type(name) is str and name in parts:
                        value = parts[name](self, value)
                    for marker in ("cache_control", "prompt_cache_breakpoint"):
                        if value.get(marker):
                            self.cached(value[marker])
                for key, inner in value.items():
                    size += PER_KEY + (len(key) if key.isascii() else text_bytes(key))
                    if type(inner) is str:
                        size += len(inner) if inner.isascii() else text_bytes(inner)
                    else:
                        stack.append(inner)
            elif kind is list:
                size += PER_ITEM * len(value)
                stack.extend(value)
            else:
                size += 5 if value is None or kind is bool else len(str(value))
        self.size += size

    def cached(self, marker: Any) -> None:
        """Notes a mark that asks for the input to be written to a cache; a life of an hour or more is the dearer class."""
        self.cache_write = True
        if isinstance(marker, dict) and marker.get("ttl") in {"1h", "12h", "24h"}:
            self.cache_write_1h = True

    def rest(self, document: Part, silent: Iterable[str]) -> None:
        """Counts every field of a body but the `silent` ones: a field that is not known may be input."""
        for key in document.keys() - silent:
            if document[key] is not None:
                self.text(document[key])
