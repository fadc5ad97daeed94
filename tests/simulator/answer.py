"""The answer to one call, planned before its first byte."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from simulator.asked import Asked
from simulator.behaviour import Behaviour
from simulator.prices import Model
from simulator.usage import Usage

TOKEN_BYTES = 4
"""Every token of the simulator's text is one word of four bytes, its space included."""

_WORDS = "the sum was due and she did not pay for all she had put off so he may ask "
_WORDS_EACH = "".join(f"{word:<{TOKEN_BYTES - 1}.{TOKEN_BYTES - 1}} " for word in _WORDS.split())
_PERIOD = len(_WORDS_EACH) // TOKEN_BYTES
_TEXT = _WORDS_EACH * (128_000 // _PERIOD + 2)


def text(start: int, count: int) -> str:
    """So many tokens of text, from a place in it."""
    first = start % _PERIOD * TOKEN_BYTES
    return _TEXT[first : first + count * TOKEN_BYTES]


ALL = frozenset({"cache_read", "cache_write", "cache_write_1h", "reasoning"})
"""The classes of tokens beside the totals."""


@dataclass(slots=True)
class Ask:
    """What a request wants, whatever its dialect."""

    model: Model
    served: str
    stream: bool
    cap: int | None
    """The most output tokens of each choice; a hard stop."""
    text_tokens: int
    """Input tokens, counted from the request's text."""
    choices: int = 1
    include_usage: bool = True
    """Whether a stream tells its usage."""
    tells: frozenset[str] = ALL - {"cache_write_1h"}
    """The classes that the dialect has words for; no others are ever used."""
    named: str = ""
    """The model as the request named it."""
    asked: Asked | None = None
    """The request itself, for shapes that answer several paths."""
    units: dict[str, int] = field(default_factory=dict)
    """What is billed beside tokens: ``seconds``, ``characters``, ``searches``."""
    factor: Decimal = Decimal(1)
    """What the price is multiplied with: a half for batches."""
    count: int = 1
    """How many things are asked for: texts to embed, images."""

    @property
    def action(self) -> str:
        """What the request's path ends with."""
        return self.asked.action if self.asked else ""


@dataclass(slots=True)
class Answer:
    """One planned answer."""

    id: str
    model: str
    """The served model."""
    created: int
    """Seconds since the epoch."""
    usage: Usage
    shown: int
    """Visible tokens of each choice."""
    capped: bool
    """Whether the cap stopped it."""
    chunk: int
    """Tokens of one chunk."""
    ask: Ask
    fault: str
    behaviour: Behaviour

    @property
    def usd(self) -> Decimal:
        """The exact price."""
        return self.ask.model.cost(self.usage, self.ask.units) * self.ask.factor

    @property
    def reasoning(self) -> int:
        """Hidden tokens of all choices together."""
        return self.usage.reasoning

    def pieces(self) -> Iterator[tuple[str, int]]:
        """The text of one choice in chunks, each with its number of tokens."""
        for start in range(0, self.shown, self.chunk):
            count = min(self.chunk, self.shown - start)
            yield text(start, count), count

    def tell(self, usage: dict[str, Any]) -> dict[str, Any] | None:
        """The usage as this answer says it: as it is, broken, or None where it is withheld."""
        if self.fault == "no-usage":
            return None
        return _broken(usage) if self.fault == "broken-usage" else usage


def _broken(usage: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for place, (name, value) in enumerate(usage.items()):
        if isinstance(value, Mapping):
            out[name] = _broken(value)
        elif isinstance(value, int):
            out[name] = f"about {value}" if place % 2 else -1 - value
        else:
            out[name] = value
    return out


def plan(ask: Ask, behaviour: Behaviour, id_: str, created: int) -> Answer:
    """The whole answer of a call: what it will use and show, cap and model's maximum applied."""

    def said(kind: str) -> int:
        """So many tokens of a class, none where the dialect has no word for it."""
        return behaviour.of(kind) if kind in ask.tells else 0

    whole = behaviour.input_tokens or ask.text_tokens
    read = min(said("cache_read"), whole)
    hour = said("cache_write_1h")
    write = min(max(said("cache_write"), hour), whole - read)
    hidden = said("reasoning")
    wanted = max(behaviour.output_tokens, hidden)
    most = ask.model.most_output if ask.cap is None else min(ask.cap, ask.model.most_output)
    each = min(wanted, most)
    reasoning = min(hidden, each)
    shown = each - reasoning
    usage = Usage(whole, read, write, min(hour, write), each * ask.choices, reasoning * ask.choices)
    chunk = -(-shown // behaviour.chunks) if behaviour.chunks and shown else behaviour.chunk_tokens
    return Answer(id_, ask.served, created, usage, shown, wanted > most, chunk, ask, behaviour.fault, behaviour)


_SAID_APART = frozenset({"type", "role"})
_MEDIA = frozenset({"image_url", "input_image", "image", "input_audio", "input_file", "file", "document"})
_MEDIA_BYTES = 4_000


def count_tokens(*parts: object) -> int:
    """Input tokens of a request's text: a quarter of its UTF-8 bytes, at least one; a medium counts a thousand."""
    return max(1, -(-sum(map(_text_bytes, parts)) // 4))


def _text_bytes(node: object) -> int:
    if isinstance(node, str):
        return len(node) if node.isascii() else len(node.encode("utf-8", "surrogatepass"))
    if isinstance(node, list):
        return sum(map(_text_bytes, node))
    if isinstance(node, dict):
        if node.get("type") in _MEDIA or "inlineData" in node:
            return _MEDIA_BYTES
        return sum(_text_bytes(value) for name, value in node.items() if name not in _SAID_APART)
    return 0
