"""A sketch of a request: enough to tell that two are nearly the same, and nothing that could be read.

Of the last two messages a few words are picked and hashed, each with its neighbours, under a key that lives and dies with the process
(bottom-k sketches: A. Broder, On the resemblance and containment of documents, 1997). Numbers and words with digits in
them count as one: ids and times differ in every turn of a loop.

A request without an answer in it begins a piece of work of its own: a thousand documents to sort share their
instructions and are no loop. Such first turns are the same only where they are equal.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

MARKS = 16
"""Word groups kept of a request."""
FEWEST = 4
"""Groups below which a text is too short to be compared but for equality."""
ALIKE = 0.5
"""The part of their marks from which on two sketches are nearly the same."""

_LONGEST = 1024
"""Characters that are read: of each text its beginning and its end."""
_HEAD, _TAIL = 384, 192
_DEEPEST = 6
_ERROR_WITHIN = 200

_MESSAGES = ("messages", "contents", "input", "chat_history", "prompt", "message", "inputText", "inputs")
"""Where the dialects keep what is said, the first that is there."""
_SYSTEM = frozenset({"system", "developer"})
_ANSWERS = frozenset({"assistant", "model", "tool", "function", "chatbot"})
_RESULTS = frozenset({"function_call_output", "tool_result", "custom_tool_call_output", "local_shell_call_output"})
_SILENT = frozenset(
    {
        "id",
        "tool_call_id",
        "tool_use_id",
        "toolUseId",
        "call_id",
        "type",
        "role",
        "signature",
        "data",
        "bytes",
        "status",
    }
)
"""Keys whose values say nothing about what is asked: ids, kinds, and media."""
_WORD = r"\w{1,8}"
"""A word, or a piece of a long one: some languages write without spaces."""
_NUMBER = r"\b[^\W\d]*+\d\w*+(?:\W{1,2}[^\W\d]*+\d\w*+)*+"
"""Numbers, times and ids, several in a row as one."""
_WORDS, _NUMBERS = re.compile(_WORD), re.compile(_NUMBER)
_ASCII_WORDS, _ASCII_NUMBERS = re.compile(_WORD.encode()), re.compile(_NUMBER.encode())
"""The same on bytes, which are half the work where a text has ASCII alone."""
_PLACES = 11
"""Bits for a word's place in a text: it has at most _LONGEST words."""
_FAILED = re.compile(
    r"\b(error|errors|exception|traceback|failed|failure|denied|not found|timed out|timeout|invalid|refused)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sketch:
    """One request."""

    marks: frozenset[int]
    first_turn: bool
    """Whether nothing in the request's end is an answer or a tool's result."""
    tool_failed: bool
    """Whether its last messages carry the result of a tool that failed."""

    def alike(self, other: "Sketch") -> bool:
        """Whether two requests are nearly the same."""
        if self.first_turn or other.first_turn:
            return self.first_turn and other.first_turn and self.marks == other.marks
        fewer = min(len(self.marks), len(other.marks))
        if fewer < FEWEST:
            return self.marks == other.marks
        return len(self.marks & other.marks) >= ALIKE * fewer


def sketch_of(document: Mapping[str, Any], key: bytes) -> Sketch | None:
    """The sketch of a request's parsed body; None where it says nothing that could be compared.

    ``key`` is 16 to 64 random bytes.
    """
    last = _last(document)
    if not last:
        return None
    first = not (any(_answers(m) for m in last) or document.get("previous_response_id"))
    texts = [text for message in last for text in _texts(message, 0)]
    if first:
        whole = "\x00".join(t if len(t) <= _LONGEST else f"{t[:_HEAD]}{len(t)}{t[-_TAIL:]}" for t in texts)
        return Sketch(frozenset((_mark(whole.encode("utf-8", "replace"), key),)), first_turn=True, tool_failed=False)
    shown = " ".join(t if len(t) <= _HEAD + _TAIL else f"{t[:_HEAD]} {t[-_TAIL:]}" for t in texts)[:_LONGEST]
    groups = _groups(shown, key)
    if not groups:
        return None
    return Sketch(frozenset(groups), first_turn=False, tool_failed=any(_tool_failed(m, 0) for m in last))


def _mark(text: bytes, key: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8, key=key).digest(), "big")


def _words(text: str) -> list[bytes]:
    """The words of a text in lower case, numbers as one."""
    if text.isascii():
        return _ASCII_WORDS.findall(_ASCII_NUMBERS.sub(b"0", text.lower().encode()))
    found = _WORDS.findall(_NUMBERS.sub("0", text.lower()))
    return [word.encode("utf-8", "replace") for word in found]


def _last(document: Mapping[str, Any]) -> Sequence[Any]:
    """The last two things said that are no instructions; one where it is text."""
    for name in _MESSAGES:
        said = document.get(name)
        if isinstance(said, str) and said:
            return (said,)
        if isinstance(said, list) and said:
            found = [m for m in said[-4:] if not (isinstance(m, dict) and m.get("role") in _SYSTEM)]
            return found[-2:]
    return ()


def _answers(message: Any) -> bool:
    """Whether a message is an answer, or a tool's result."""
    if not isinstance(message, dict):
        return False
    role = message.get("role")
    if isinstance(role, str) and role.lower() in _ANSWERS:
        return True
    if message.get("type") in _RESULTS:
        return True
    parts = message.get("content") or message.get("parts")
    if not isinstance(parts, list):
        return False
    return any(
        isinstance(part, dict) and (part.get("type") in _RESULTS or "toolResult" in part or "functionResponse" in part)
        for part in parts[:8]
    )


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Every text below a value that says something."""
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST:
        if isinstance(value, dict):
            for name, below in value.items():
                if name not in _SILENT:
                    yield from _texts(below, depth + 1)
        elif isinstance(value, list):
            for below in value[-16:]:
                yield from _texts(below, depth + 1)


def _groups(text: str, key: bytes) -> set[int]:
    """The marks of a text: of the words that hash lowest, each with its neighbours. This runs before every call."""
    words, start = _words(text), int.from_bytes(key[:4], "big")
    # One number for a word's hash and its place sorts without a key function.
    ranked = sorted([zlib.crc32(word, start) << _PLACES | at for at, word in enumerate(words)])
    keyed = blake2b(digest_size=8, key=key)
    found: set[int] = set()
    for rank in ranked:
        at, mark = rank & ((1 << _PLACES) - 1), keyed.copy()
        mark.update(b" ".join(words[at - 1 if at else 0 : at + 2]))
        found.add(int.from_bytes(mark.digest(), "big"))
        if len(found) == MARKS:
            break
    return found


def _tool_failed(message: Any, depth: int) -> bool:
    """Whether a message carries the result of a tool that failed: as its dialect says, or as its first words do."""
    if not isinstance(message, dict) or depth > 2:
        return False
    if message.get("is_error") is True or message.get("isError") is True or message.get("status") == "error":
        return True
    role, kind = message.get("role"), message.get("type")
    if role in ("tool", "function") or kind in _RESULTS or depth == 1:
        text = next(iter(_texts({k: v for k, v in message.items() if k != "name"}, 0)), "")
        if _FAILED.search(text[:_ERROR_WITHIN]):
            return True
    parts = message.get("content") or message.get("parts") or ()
    if not isinstance(parts, list):
        return False
    for part in parts[-8:]:
        if not isinstance(part, dict):
            continue
        inner = (
            part.get("toolResult") or part.get("functionResponse") or (part if part.get("type") in _RESULTS else None)
        )
        if inner is not None and _tool_failed(inner, depth + 1):
            return True
    return False
