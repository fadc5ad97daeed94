"""Times of the command line: a while ago, a date, a moment; and a period between two of them."""

import datetime
import re

from wfb_operator.cli.plan import UsageError

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORMS = "write 30m, 24h, 7d, 2w, or a date such as 2026-11-23"


def moment_of(text: str, now: float, option: str = "--since") -> int:
    """The Unix time of ``24h`` before ``now``, or of a date or time of this machine's zone; raises UsageError."""
    if ago := _AGO.fullmatch(text):
        return int(now) - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{option} {text[:80]!r} is not understood: {_FORMS}") from error


def period(since: str, until: str | None, now: float) -> tuple[int, int]:
    """[since, until) in Unix seconds; raises UsageError for one that is empty, or that has not begun."""
    first = moment_of(since, now)
    last = int(now) + 1 if until is None else moment_of(until, now, "--until")
    if first < 0 or last < 0:
        option, text = ("--since", since) if first < 0 else ("--until", until)
        raise UsageError(f"{option} {text} is before 1970: {_FORMS}")
    if first > now:
        raise UsageError(f"--since {since} is in the future: nothing was spent then yet")
    if until is not None and last > now:
        raise UsageError(f"--until {until} is in the future: leave it away for everything up to now")
    if last <= first:
        raise UsageError(f"--until {until} is not after --since {since}: a period ends after it begins")
    return first, last
