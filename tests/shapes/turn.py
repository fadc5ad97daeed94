"""One request of an agent, and its price by a table of its own."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

INPUT_NANOS, OUTPUT_NANOS = 2_500, 10_000
"""Nano-USD a token: 2.50 and 10.00 dollars a million."""
BYTES_PER_TOKEN = 4


@dataclass
class Turn:
    """One attempt that an SDK makes."""

    body: dict[str, Any]
    output_tokens: int
    pod: str = "a"
    pause: float = 4.0
    """Seconds since the turn before."""
    headers: dict[str, str] = field(default_factory=dict)
    fails: bool = False
    """The provider is down: the attempt costs nothing."""

    @cached_property
    def input_bytes(self) -> int:
        """Bytes of all text in the body."""
        return sum(map(_size, self.body["messages"]))

    @cached_property
    def nanos(self) -> int:
        """What it costs."""
        if self.fails:
            return 0
        return self.input_bytes // BYTES_PER_TOKEN * INPUT_NANOS + self.output_tokens * OUTPUT_NANOS


Run = Iterator[Turn]


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return 0


class Words:
    """Text out of nothing: sentences of made-up words, the same for the same seed."""

    def __init__(self, rng: random.Random, vocabulary: int = 1500) -> None:
        self._rng = rng
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        self._words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(vocabulary)]

    def text(self, words: int) -> str:
        """So many words."""
        return " ".join(self._rng.choices(self._words, k=words))

    def about(self, words: int) -> str:
        """So many words, give or take a half."""
        return self.text(max(3, round(self._rng.lognormvariate(0, 0.4) * words)))

    def reworded(self, text: str, part: float) -> str:
        """The same text with a part of its words replaced."""
        return " ".join(self._rng.choice(self._words) if self._rng.random() < part else w for w in text.split())


class Conversation:
    """Messages of one agent in the shape of OpenAI's chat completions, tools included."""

    def __init__(self, rng: random.Random, words: Words, system: int = 300) -> None:
        self.rng, self.words = rng, words
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": words.text(system)}]

    def user(self, text: str) -> None:
        """The user says something."""
        self.messages.append({"role": "user", "content": text})

    def assistant(self, text: str) -> None:
        """The model said something."""
        self.messages.append({"role": "assistant", "content": text})

    def tool(self, name: str, arguments: str, result: str, said: str = "") -> None:
        """The model called a tool, and this is its result."""
        call = f"call_{self.rng.getrandbits(64):016x}"
        function = {"name": name, "arguments": arguments}
        self.messages.append(
            {
                "role": "assistant",
                "content": said or None,
                "tool_calls": [{"id": call, "type": "function", "function": function}],
            }
        )
        self.messages.append({"role": "tool", "tool_call_id": call, "content": result})

    def body(self) -> dict[str, Any]:
        """A request with everything said so far."""
        return {"model": "gpt-4o", "messages": list(self.messages), "max_tokens": 800}


def stamp(rng: random.Random) -> str:
    """A time and an id, as tools put them into every result."""
    return f"2026-11-{rng.randint(1, 28):02d}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:07Z req_{rng.getrandbits(48):012x}"
