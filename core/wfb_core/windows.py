"""Calendar windows: which period of a limit a moment belongs to, and the id under which its money is kept.

A window is half open, ``start <= t < end``, in Unix seconds; consecutive windows of a kind tile time without gap or
overlap. Three rules give every case, daylight saving included:

1. A Day, Week, Month, Quarter or Year begins at the first instant at which the zone's clock reads that date's midnight
   or later. So a day has 23 or 25 hours where clocks change, begins at 01:00 where midnight is skipped, and a date that
   a zone skipped altogether (Apia, 30 December 2011) has no window.
2. An Hour is the longest stretch of time with one local hour and one UTC offset. So the hour that clocks repeat in
   autumn makes two windows, and a change of half an hour makes windows of 30 minutes.
3. Run and Total have no end in the calendar: they reach from -inf to +inf.

The id holds the local start with its offset, which tells the repeated hours apart. Windows begin at whole seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from wfb_core.budget import RUN, TOTAL, WINDOWS

INF = float("inf")

HOUR = "Hour"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

_NOT_ZONES = ("localtime", "posixrules", "Factory")
"""Files beside the IANA zones whose meaning depends on the machine; holder and ledger would count different days."""


@dataclass(frozen=True, slots=True)
class WindowAt:
    """One window of a budget's limit: its id, and its start and end in Unix seconds."""

    id: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Calendar:
    """A kind of window made of whole dates: the first date of a period, and the first date of the next."""

    first: Callable[[date], date]
    following: Callable[[date], date]


def _month(first: date, months: int) -> date:
    """The first of the month so many months after the month of a date."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1)


_CALENDAR = {
    "Day": _Calendar(lambda d: d, lambda d: d + timedelta(days=1)),
    "Week": _Calendar(lambda d: d - timedelta(days=d.weekday()), lambda d: d + timedelta(days=7)),  # ISO: from Monday
    "Month": _Calendar(lambda d: _month(d, 0), lambda d: _month(d, 1)),
    "Quarter": _Calendar(lambda d: _month(d, -((d.month - 1) % 3)), lambda d: _month(d, 3)),
    "Year": _Calendar(lambda d: date(d.year, 1, 1), lambda d: date(d.year + 1, 1, 1)),
}


def zone_of(name: str) -> ZoneInfo:
    """The IANA zone of a name such as ``Europe/Berlin``.

    Raises ValueError for a name that the time zone database does not hold, and for the names in it that are no zones:
    ``localtime`` differs from machine to machine, and ``right/…`` counts leap seconds, which Unix time does not.
    """
    if name in _NOT_ZONES or name.startswith(("right/", "posix/")):
        raise ValueError(f"{name!r} is not an IANA time zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: Python 3.12 tries to read folders such as "Europe"
        raise ValueError(f"{name!r} is not an IANA time zone") from error


def window_at(budget_key: str, kind: str, zone: str, t: float, run: str = "") -> WindowAt:
    """The window of a kind that holds the moment ``t`` (Unix seconds) for a budget, by the zone's calendar.

    ``run`` names the run for the kind Run and counts for no other. Raises ValueError for a kind or zone that does not
    exist, a moment outside the years 1 to 9999, and a Run window without a run: all runs would share one.
    """
    if kind == RUN and not run:
        raise ValueError("a Run window needs the name of its run")
    if kind in (RUN, TOTAL):
        return WindowAt(f"{budget_key}|{kind}|{run if kind == RUN else ''}", -INF, INF)
    if kind != HOUR and kind not in _CALENDAR:
        raise ValueError(f"{kind!r} is not a kind of window: choose one of {', '.join(WINDOWS)}")
    if not math.isfinite(t):
        raise ValueError(f"{t!r} is not a moment")
    where, moment = zone_of(zone), math.floor(t)
    try:
        start, end = _hour(where, moment) if kind == HOUR else _dates(where, _CALENDAR[kind], moment)
        return WindowAt(f"{budget_key}|{kind}|{_local(where, start).isoformat()}", start, end)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{t!r} is outside the calendar: its {kind} must lie in the years 1 to 9999") from error


def next_window(window: WindowAt, zone: str) -> WindowAt | None:
    """The window that begins where this one ends, to open it ahead; None after Run and Total."""
    if window.end == INF:
        return None
    key, kind, _ = parse_window_id(window.id)
    return window_at(key, kind, zone, window.end)


def resets_at(window: WindowAt) -> float | None:
    """When the limit is whole again, in Unix seconds; None for Run and Total, whose money does not come back."""
    return None if window.end == INF else window.end


def parse_window_id(window_id: str) -> tuple[str, str, str]:
    """The parts of a window id: (budget key, kind, label); the label is the local start, the run, or empty for Total.

    Raises ValueError for anything that ``window_at`` does not write.
    """
    key, kind, label = (*window_id.split("|", 2), "", "")[:3]
    namespace, slash, name = key.partition("/")
    known = window_id.count("|") >= 2 and kind in WINDOWS and (label == "") == (kind == TOTAL)
    if not known or not slash or not name or "/" in namespace + name:
        raise ValueError(f'{window_id!r} is not a window id: it reads "namespace/name|Kind|start, run or nothing"')
    return key, kind, label


def window_of_id(window_id: str, zone: str) -> WindowAt:
    """The window that an id names, with its times by the zone's calendar.

    Raises ValueError where the id is malformed, or its start is not where a window of that kind begins in that zone:
    so an id from before an edit of the zone is told from one of today.
    """
    key, kind, label = parse_window_id(window_id)
    if kind in (RUN, TOTAL):
        return window_at(key, kind, zone, 0.0, label)
    try:
        start = datetime.fromisoformat(label)
    except ValueError as error:
        raise ValueError(f"{window_id!r} does not hold a local start with its offset") from error
    if start.tzinfo is None:
        raise ValueError(f"{window_id!r} lacks the offset of its local start")
    window = window_at(key, kind, zone, (start - _EPOCH) / _SECOND)
    if window.id != window_id:
        raise ValueError(f"{window_id!r} does not begin where a {kind} begins in {zone}; there it is {window.id!r}")
    return window


def shadow_id(window_id: str) -> str:
    """The id of a window's shadow, which follows what Enforce would do: a ``~`` before the key, which no name can hold."""
    return f"~{window_id}"


def is_shadow(window_id: str) -> bool:
    """Whether an id is a shadow's."""
    return window_id.startswith("~")


def real_id(window_id: str) -> str:
    """The id of the window whose shadow this is, or the id as it is."""
    return window_id.removeprefix("~")


def _local(zone: ZoneInfo, moment: int) -> datetime:
    """What the zone's clock reads at a moment."""
    return (_EPOCH + timedelta(seconds=moment)).astimezone(zone)


def _offset(zone: ZoneInfo, moment: int) -> timedelta | None:
    """How far the zone's clock is ahead of UTC at a moment."""
    return _local(zone, moment).utcoffset()


def _first(before: int, after: int, reached: Callable[[int], bool]) -> int:
    """The first second in ``(before, after]`` at which something is reached that was not at ``before`` and then stays."""
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if reached(middle) else (middle, after)
    return after


def _hour(zone: ZoneInfo, moment: int) -> tuple[int, int]:
    """Start and end of the Hour around a moment: the whole hour by the present offset, cut where the offset changes."""
    local = _local(zone, moment)
    offset = local.utcoffset()
    start = moment - 60 * local.minute - local.second
    end = start + 3600
    if _offset(zone, start) != offset:
        start = _first(start, moment, lambda t: _offset(zone, t) == offset)
    if _offset(zone, end - 1) != offset:
        end = _first(moment, end - 1, lambda t: _offset(zone, t) != offset)
    return start, end


def _dates(zone: ZoneInfo, calendar: _Calendar, moment: int) -> tuple[int, int]:
    """Start and end of the period of whole dates around a moment.

    The local date alone does not decide: where clocks went back over midnight, its last hour comes twice, the second
    time after the next date has begun.
    """
    first = calendar.first(_local(zone, moment).date())
    start, end = _midnight(zone, first), _midnight(zone, calendar.following(first))
    while moment >= end:
        first = calendar.following(first)
        start, end = end, _midnight(zone, calendar.following(first))
    return start, end


def _midnight(zone: ZoneInfo, day: date) -> int:
    """The first second at which the zone's clock reads midnight of a date or later."""
    wall = datetime.combine(day, time())
    reads = wall.replace(tzinfo=zone)  # fold=0: of two midnights the first; a skipped one by the offset before
    moment = (reads - _EPOCH) // _SECOND
    if _local(zone, moment).replace(tzinfo=None) == wall:
        return moment
    still_before = (reads.replace(fold=1) - _EPOCH) // _SECOND  # a skipped one by the offset after
    return _first(still_before, moment, lambda t: _local(zone, t).replace(tzinfo=None) >= wall)
