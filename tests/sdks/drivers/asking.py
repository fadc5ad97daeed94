"""What every driver in Python does: it takes cases, a line of JSON each, and answers each with another.

A driver imports its SDK once and forks a process for each row of it, for some imports take seconds. Its first line on
standard input says for each row its ``argument`` and ``environment``, and the file descriptors ``take`` and ``give``.

A case says what to call (``model``, ``prompt``, ``stream``) and how the user of this SDK reads the exception
(``status`` and ``budget``: the very lines of docs/sdks.md). The answer is ``finish``, ``model`` and ``characters`` of a
success, or ``error``, ``status`` and ``budget`` of an exception, and ``waits``: the seconds that the SDK meant to sleep
between its attempts. They pass HURRY times faster, so that a Retry-After of half a minute does not cost one. With
``gate`` the first of them is said, as ``waiting``, and lasts until a line comes.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

HURRY = 20
SHORTEST = 0.05
"""Seconds; shorter sleeps are no wait between attempts."""

_sleep = time.sleep
_waits: list[float] = []
_gate = [False]
_lines: dict[str, TextIO] = {}


def _hurried(seconds: float) -> None:
    if seconds < SHORTEST:
        _sleep(seconds)
        return
    _waits.append(round(seconds, 1))
    if _gate[0]:
        _gate[0] = False
        _say({"waiting": seconds})
        _lines["cases"].readline()
        return
    _sleep(seconds / HURRY)


time.sleep = _hurried  # before the SDKs are imported, some of which take the function itself

os.dup2(2, 1)  # some SDKs write to standard output

Call = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a case's call, and says ``finish``, ``model`` and ``text`` of its answer."""


def serve(make: Callable[[str], Call]) -> None:
    """Answers the cases of every row until there are no more; `make` makes the client for a row's argument."""
    rows = json.loads(sys.stdin.readline())
    for row in rows:
        if os.fork() == 0:
            os.environ.update(row["environment"])
            for other in rows:
                if other is not row:
                    os.close(other["take"])
                    os.close(other["give"])
            with os.fdopen(row["take"]) as cases, os.fdopen(row["give"], "w") as said:
                _lines.update(cases=cases, said=said)
                _answer_all(make(row["argument"]))
            os._exit(0)
    for row in rows:
        os.close(row["take"])
        os.close(row["give"])
    for _ in rows:
        os.wait()


def _answer_all(call: Call) -> None:
    _say({"ready": True})
    while line := _lines["cases"].readline():
        case = json.loads(line)
        _waits.clear()
        _gate[0] = case["gate"]
        try:
            answer = call(case)
            found = {"finish": answer["finish"], "model": answer["model"], "characters": len(answer["text"])}
        except Exception as error:
            found = {
                "error": type(error).__name__,
                "status": _read(case["status"], error),
                "budget": _read(case["budget"], error),
                "message": str(error)[:300],
            }
        _say({**found, "waits": list(_waits)})


def _read(line: str, error: Exception) -> Any:
    """What a user's line reads from the exception, or why it cannot."""
    try:
        return eval(line, {"error": error, "json": json})
    except Exception as why:
        return f"cannot be read: {why!r}"


def _say(found: dict[str, Any]) -> None:
    _lines["said"].write(json.dumps(found) + "\n")
    _lines["said"].flush()
