"""Windows: calendars, clock changes and ids, over the zones of the world."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from wfb_core.windows import WindowAt, next_window, parse_window_id, resets_at, window_at, window_of_id, zone_of

KEY = "billing/invoice-triage"
CALENDAR = ("Hour", "Day", "Week", "Month", "Quarter", "Year")
ZONES = sorted(
    zone
    for zone in available_timezones()
    if zone not in ("localtime", "Factory") and not zone.startswith(("Etc/", "System"))
)
AWKWARD = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",  # +05:45
    "Pacific/Apia",  # skipped 30 December 2011
    "Pacific/Kwajalein",  # skipped a day in 1993
    "America/St_Johns",  # until 2011 changed at 00:01, so a date's last hour came after the next had begun
    "America/Sao_Paulo",  # changed at midnight
    "America/Havana",  # midnight comes twice
    "America/Toronto",  # 1919: 23:30 to 00:30
    "America/Juneau",  # 1867: a date came twice
    "Africa/Casablanca",  # changes around Ramadan
)
zones = st.sampled_from(ZONES) | st.sampled_from(AWKWARD)
moments = st.integers(-4_000_000_000, 5_000_000_000) | st.floats(-4e9, 5e9, allow_nan=False)


def unix(text, zone="UTC", fold=0):
    """The Unix seconds of a local time; one with an offset stands for itself."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone), fold=fold)).timestamp()


LENGTHS = [  # zone, a local moment, kind, local start with offset, hours
    ("Europe/Berlin", "2026-11-23T12:00", "Day", "2026-11-23T00:00:00+01:00", 24),
    ("Europe/Berlin", "2026-03-29T12:00", "Day", "2026-03-29T00:00:00+01:00", 23),
    ("Europe/Berlin", "2026-10-25T12:00", "Day", "2026-10-25T00:00:00+02:00", 25),
    ("Europe/Berlin", "2026-03-29T12:00", "Week", "2026-03-23T00:00:00+01:00", 7 * 24 - 1),
    ("Europe/Berlin", "2026-10-25T23:59:59", "Week", "2026-10-19T00:00:00+02:00", 7 * 24 + 1),
    ("Europe/Berlin", "2026-10-26T00:00", "Week", "2026-10-26T00:00:00+01:00", 7 * 24),
    ("Europe/Berlin", "2026-03-01T00:00", "Month", "2026-03-01T00:00:00+01:00", 31 * 24 - 1),
    ("Europe/Berlin", "2026-12-31T23:59", "Month", "2026-12-01T00:00:00+01:00", 31 * 24),
    ("Europe/Berlin", "2028-02-29T12:00", "Month", "2028-02-01T00:00:00+01:00", 29 * 24),
    ("Europe/Berlin", "2026-02-14T12:00", "Quarter", "2026-01-01T00:00:00+01:00", 90 * 24 - 1),
    ("Europe/Berlin", "2026-12-31T12:00", "Quarter", "2026-10-01T00:00:00+02:00", 92 * 24 + 1),
    ("Europe/Berlin", "2026-06-30T12:00", "Year", "2026-01-01T00:00:00+01:00", 365 * 24),
    ("Europe/Berlin", "2028-06-30T12:00", "Year", "2028-01-01T00:00:00+01:00", 366 * 24),
    ("America/New_York", "2026-03-08T12:00", "Day", "2026-03-08T00:00:00-05:00", 23),
    ("America/New_York", "2026-11-01T12:00", "Day", "2026-11-01T00:00:00-04:00", 25),
    ("America/New_York", "2027-01-01T12:00", "Week", "2026-12-28T00:00:00-05:00", 7 * 24),
    ("Australia/Lord_Howe", "2026-04-05T12:00", "Day", "2026-04-05T00:00:00+11:00", 24.5),
    ("Australia/Lord_Howe", "2026-10-04T12:00", "Day", "2026-10-04T00:00:00+10:30", 23.5),
    ("Australia/Lord_Howe", "2026-10-04T02:45", "Hour", "2026-10-04T02:30:00+11:00", 0.5),
    ("Asia/Kathmandu", "2026-11-23T12:50", "Hour", "2026-11-23T12:00:00+05:45", 1),
    ("Asia/Kathmandu", "2026-11-23T12:50", "Day", "2026-11-23T00:00:00+05:45", 24),
    ("Asia/Kolkata", "2026-11-23T12:10", "Hour", "2026-11-23T12:00:00+05:30", 1),
    ("Pacific/Apia", "2011-12-29T12:00", "Day", "2011-12-29T00:00:00-10:00", 24),
    ("Pacific/Apia", "2011-12-31T12:00", "Day", "2011-12-31T00:00:00+14:00", 24),
    ("Pacific/Apia", "2011-12-31T12:00", "Week", "2011-12-26T00:00:00-10:00", 6 * 24),
    ("America/Sao_Paulo", "2018-11-04T12:00", "Day", "2018-11-04T01:00:00-02:00", 23),
    ("America/Havana", "2026-11-01T12:00", "Day", "2026-11-01T00:00:00-04:00", 25),
    ("America/Toronto", "1919-03-31T12:00", "Day", "1919-03-31T00:30:00-04:00", 23.5),
    ("UTC", "1970-01-01T00:00", "Year", "1970-01-01T00:00:00+00:00", 365 * 24),
]


@pytest.mark.parametrize(("zone", "local", "kind", "label", "hours"), LENGTHS)
def test_lengths(zone, local, kind, label, hours):
    """A window begins at its local boundary and is as long as the zone's calendar makes it."""
    window = window_at(KEY, kind, zone, unix(local, zone))
    assert window == WindowAt(f"{KEY}|{kind}|{label}", unix(label), unix(label) + hours * 3600)


REPEATED = [  # zone, the hours around a change, as labels, and their lengths in minutes
    ("Europe/Berlin", "2026-10-25T01:00:00+02:00", [60, 60, 60, 60], ["01:00:00+02", "02:00:00+02", "02:00:00+01", "03:00:00+01"]),
    ("Europe/Berlin", "2026-03-29T01:00:00+01:00", [60, 60], ["01:00:00+01", "03:00:00+02"]),
    ("Australia/Lord_Howe", "2026-04-05T01:00:00+11:00", [60, 30, 60], ["01:00:00+11", "01:30:00+10", "02:00:00+10"]),
    ("Australia/Lord_Howe", "2026-10-04T01:00:00+10:30", [60, 30, 60], ["01:00:00+10", "02:30:00+11", "03:00:00+11"]),
    ("Asia/Kathmandu", "1985-12-31T23:00:00+05:30", [60, 45, 60], ["23:00:00+05", "00:15:00+05", "01:00:00+05"]),
    ("America/St_Johns", "2006-10-28T23:00:00-02:30", [60, 1, 59, 60], ["23:00:00-02", "00:00:00-02", "23:01:00-03", "00:00:00-03"]),
    ("America/Toronto", "1919-03-30T23:00:00-05:00", [30, 30, 60], ["23:00:00-05", "00:30:00-04", "01:00:00-04"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "start", "minutes", "labels"), REPEATED)
def test_hours_where_clocks_change(zone, start, minutes, labels):
    """A repeated hour makes two windows told apart by the offset, a skipped one none, a partial change short ones."""
    window = window_at(KEY, "Hour", zone, unix(start))
    found = []
    for _ in minutes:
        found.append(window)
        window = next_window(window, zone)
    assert [(w.end - w.start) / 60 for w in found] == minutes
    assert [w.id.partition("T")[2][:11] for w in found] == labels
    assert len({w.id for w in found}) == len(found)


def test_a_skipped_date_has_no_window():
    """Apia went from 29 to 31 December 2011, and so do its windows."""
    last = window_at(KEY, "Day", "Pacific/Apia", unix("2011-12-29T23:59:59-10:00"))
    assert next_window(last, "Pacific/Apia").id == f"{KEY}|Day|2011-12-31T00:00:00+14:00"


def test_a_date_that_returns_belongs_to_the_next():
    """Where clocks go back over midnight, the date's last hour comes again inside the next date's window."""
    again = window_at(KEY, "Day", "America/St_Johns", unix("2006-10-28T23:30:00-03:30"))
    assert again.id == f"{KEY}|Day|2006-10-29T00:00:00-02:30"


@given(zones, st.sampled_from(CALENDAR), moments)
@example("America/St_Johns", "Day", unix("2006-10-28T23:30:00-03:30"))
@example("Pacific/Apia", "Day", unix("2011-12-30T10:00:00+00:00"))
@example("America/Juneau", "Day", unix("1867-10-19T00:31:13+00:00"))
@example("Europe/Berlin", "Hour", unix("2026-10-25T02:30:00+01:00"))
@example("UTC", "Hour", 3599.9999999)
def test_windows_tile_time(zone, kind, t):
    """The window around a moment holds it, and its neighbours begin and end exactly where it does."""
    window = window_at(KEY, kind, zone, t)
    assert window.start <= t < window.end
    following = next_window(window, zone)
    assert following.start == window.end < following.end
    assert window_at(KEY, kind, zone, window.start) == window
    assert window_at(KEY, kind, zone, window.end - 1) == window
    before = window_at(KEY, kind, zone, window.start - 1)
    assert before.end == window.start
    assert len({before.id, window.id, following.id}) == 3


@given(zones, st.sampled_from(CALENDAR), moments)
def test_ids_round_trip(zone, kind, t):
    """A window is found again by its id, whose label is its start as the zone's clock reads it."""
    window = window_at(KEY, kind, zone, t)
    assert window_of_id(window.id, zone) == window
    key, found, label = parse_window_id(window.id)
    assert (key, found) == (KEY, kind)
    start = datetime.fromisoformat(label)
    assert start.timestamp() == window.start
    assert start.utcoffset() == datetime.fromtimestamp(window.start, ZoneInfo(zone)).utcoffset()


@given(zones, moments)
def test_windows_nest(zone, t):
    """Every hour lies in one day, every day in one week and one month, months in quarters, quarters in years."""
    windows = {kind: window_at(KEY, kind, zone, t) for kind in CALENDAR}
    for inner, outer in zip(
        ("Hour", "Day", "Day", "Month", "Quarter"), ("Day", "Week", "Month", "Quarter", "Year"), strict=True
    ):
        assert windows[outer].start <= windows[inner].start < windows[inner].end <= windows[outer].end


@given(st.sampled_from(CALENDAR), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_utc_is_plain_arithmetic(kind, moment):
    """Where no clock changes, windows are what the calendar on the wall says."""
    moment = moment.replace(tzinfo=UTC)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "Hour": moment.replace(minute=0, second=0, microsecond=0),
        "Day": day,
        "Week": day - timedelta(days=day.weekday()),
        "Month": day.replace(day=1),
        "Quarter": day.replace(month=(day.month + 2) // 3 * 3 - 2, day=1),
        "Year": day.replace(month=1, day=1),
    }
    assert window_at(KEY, kind, "UTC", moment.timestamp()).start == starts[kind].timestamp()


def test_run_and_total_never_end():
    """A run's window is one for each run, Total's is one for all, and neither resets or has a next."""
    run = window_at(KEY, "Run", "Europe/Berlin", 1e9, run="job|7")
    total = window_at(KEY, "Total", "Europe/Berlin", 1e9, run="job|7")
    infinite = float("inf")
    assert run == WindowAt(f"{KEY}|Run|job|7", -infinite, infinite)
    assert total == WindowAt(f"{KEY}|Total|", -infinite, infinite)
    for window in (run, total):
        assert window_of_id(window.id, "UTC") == window
        assert next_window(window, "UTC") is None
        assert resets_at(window) is None
    assert parse_window_id(run.id) == (KEY, "Run", "job|7")


def test_resets_at_the_end():
    """A calendar window's money is back when the next begins."""
    window = window_at(KEY, "Day", "Europe/Berlin", unix("2026-10-25T12:00", "Europe/Berlin"))
    assert resets_at(window) == unix("2026-10-26T00:00:00+01:00")


def test_a_cluster_budget_has_no_namespace():
    """The key of a cluster's budget begins with the slash, and its ids are read all the same."""
    window = window_at("/all", "Day", "UTC", 0)
    assert parse_window_id(window.id) == ("/all", "Day", "1970-01-01T00:00:00+00:00")


NO_WINDOWS = [
    ({"kind": "Fortnight"}, "'Fortnight' is not a kind of window: choose one of Hour, Day"),
    ({"kind": "Run"}, "needs the name of its run"),
    ({"zone": "Europe/Berln"}, "'Europe/Berln' is not an IANA time zone"),
    ({"t": float("nan")}, "nan is not a moment"),
    ({"t": float("inf")}, "inf is not a moment"),
    ({"t": 1e15}, "outside the calendar"),
    ({"t": -1e15}, "outside the calendar"),
    ({"kind": "Year", "t": 253_402_300_799}, "outside the calendar"),
]


@pytest.mark.parametrize(("change", "message"), NO_WINDOWS)
def test_no_window(change, message):
    """What has no window is refused by its value."""
    asked = {"kind": "Day", "zone": "UTC", "t": 0.0} | change
    with pytest.raises(ValueError) as caught:
        window_at(KEY, **asked)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localtime",
        "posixrules",
        "Factory",
        "right/UTC",
        "posix/UTC",
        "../etc/passwd",
        "/UTC",
        "Europe",
        "zone.tab",
        "a\0b",
    ],
)
def test_no_zone(name):
    """Names that are no zone are refused, among them those that mean another zone on another machine."""
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        zone_of(name)


BAD_IDS = [
    "",
    "billing/a",
    "billing/a|Day",
    "billing|Day|2026-11-23T00:00:00+01:00",
    "billing/|Day|2026-11-23T00:00:00+01:00",
    "billing/a/b|Day|2026-11-23T00:00:00+01:00",
    "billing/a|Dy|2026-11-23T00:00:00+01:00",
    "billing/a|Run|",
    "billing/a|Day|",
    "billing/a|Total|x",
    "billing/a|Day|yesterday",
    "billing/a|Day|2026-11-23T00:00:00",  # no offset
    "billing/a|Day|2026-11-23T00:00:00+02:00",  # not Berlin's offset that day
    "billing/a|Day|2026-11-23T00:00:01+01:00",
    "billing/a|Day|2026-11-22T23:00:00+00:00",  # the moment is right, the label is not how it is written
    "billing/a|Day|20261123T000000+0100",
    "billing/a|Week|2026-11-24T00:00:00+01:00",
    "billing/a|Hour|2026-11-23T00:30:00+01:00",
    "billing/a|Month|2026-11-02T00:00:00+01:00",
    "billing/a|Day|0001-01-01T00:00:00+01:00",
    "billing/a|Day|2026-11-23T00:00:00.5+01:00",
]


@pytest.mark.parametrize("window_id", BAD_IDS)
def test_ids_that_name_no_window(window_id):
    """An id that no window of the zone has is refused."""
    with pytest.raises(ValueError):
        window_of_id(window_id, "Europe/Berlin")


@given(st.sampled_from(CALENDAR), moments)
def test_an_id_of_another_zone_is_told(kind, t):
    """After an edit of the zone, ids from before it are not taken for the new zone's."""
    before = window_at(KEY, kind, "Asia/Kathmandu", t)
    assume(before.id != window_at(KEY, kind, "America/New_York", before.start).id)
    with pytest.raises(ValueError, match="does not begin where"):
        window_of_id(before.id, "America/New_York")
