"""What every refusal carries, whatever its dialect: headers that stop or pace SDKs, and a budget object for agents.

Measured with thirteen SDK configurations: 402 makes one attempt in all of them, `x-should-retry: false` stops those that
know it, and a Retry-After below 60 seconds is obeyed by every version that reads it; 60 no longer by Vercel's AI SDK, more
only by some, and without bound.
"""

import json
from collections.abc import Mapping
from typing import Any

Refusal = tuple[int, dict[str, str], bytes]
"""(status, headers, body)."""

DETAILS = (
    "budget",
    "scope",
    "limit",
    "spent",
    "remaining",
    "resetsAt",
    "suggestedModel",
    "decision",
)
"""Keys of `error.budget` in the body: names, decimal strings of dollars, an RFC 3339 time; those that are known."""

_HEADERS = {
    "decision": "x-wfb-decision",
    "budget": "x-wfb-budget",
    "scope": "x-wfb-window",
    "limit": "x-wfb-limit-usd",
    "spent": "x-wfb-spent-usd",
    "remaining": "x-wfb-remaining-usd",
    "resetsAt": "x-wfb-resets-at",
    "suggestedModel": "x-wfb-suggested-model",
}
SHORTEST, LONGEST = 1, 59
"""Seconds of Retry-After that every SDK obeys."""


def budget_object(reason: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """What an agent reads to change its plan: the reason and every detail that is known."""
    return {"reason": reason, **{key: details[key] for key in DETAILS if details.get(key) is not None}}


def answer(
    status: int, reason: str, details: Mapping[str, Any], retry_after: float | None, body: dict[str, Any]
) -> Refusal:
    """The status, headers and bytes of a refusal; without `retry_after` it says that trying again is useless.

    The budget object stands in the header `x-wfb-refusal` too: boto3 keeps of an error's body only its message, LiteLLM
    of some only their text, and both keep the headers.
    """
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-wfb-reason": _header_value(reason),
    }
    if retry_after is None:
        headers["x-should-retry"] = "false"
    else:
        seconds = min(max(SHORTEST, -int(-retry_after // 1)), LONGEST) if retry_after < LONGEST else LONGEST
        headers["retry-after"] = str(seconds)
        headers["retry-after-ms"] = str(seconds * 1000)
    headers["x-wfb-refusal"] = json.dumps(budget_object(reason, details), separators=(",", ":"))  # ASCII, escaped
    for key, name in _HEADERS.items():
        if details.get(key) is not None:
            headers[name] = _header_value(details[key])
    return status, headers, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def code(reason: str, status: int, retry_after: float | None) -> str:
    """The error's code: ``budget_exceeded``, ``rate_limit_exceeded``, else the reason in lower case with underscores."""
    if status == 402 or (status == 429 and retry_after is None):
        return "budget_exceeded"
    if status == 429:
        return "rate_limit_exceeded"
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in reason).lstrip("_")


def _header_value(value: Any) -> str:
    """A value that cannot break out of its header."""
    return "".join(c if " " <= c <= "~" else "?" for c in str(value)).strip()
