"""Forecasts as stories: minutes of spend, and when the money is said to be gone."""

import math

import pytest

from wfb_operator.ledger.forecast import NEVER, Forecast

START, HOUR, DAY = 1_800_000_000.0, 3600.0, 86_400.0
LIMIT = 24_000
NAME = ("ns/b", "Day")


def told(story, limit=LIMIT, start=START):
    """(seconds from now until the money is gone) after a story of (seconds, spend a second), a look each minute."""
    forecast, now, used = Forecast(), start, 0.0
    forecast.see(NAME, "w", start, start + DAY, 0, limit, now)
    for seconds, rate in story:
        for _ in range(int(seconds // 60)):
            now, used = now + 60, used + 60 * rate
            forecast.see(NAME, "w", start, start + DAY, int(used), limit - int(used), now)
    return forecast.gone_at(NAME, limit - int(used), start + DAY, now) - now


EVEN = LIMIT / DAY
STORIES = {
    "an even day just reaches its end": ([(12 * HOUR, EVEN * 0.95)], NEVER),
    "nothing spent": ([(HOUR, 0.0)], NEVER),
    "twice the even pace is gone at noon": ([(2 * HOUR, 2 * EVEN)], 10 * HOUR),
    "a loop after a quiet morning": ([(6 * HOUR, EVEN / 2), (HOUR, 20 * EVEN)], 1_000 / 20 / EVEN),
    "a burst that has ended is forgotten": ([(HOUR, 6 * EVEN), (6 * HOUR, EVEN / 2)], NEVER),
}


@pytest.mark.parametrize(("story", "left"), STORIES.values(), ids=STORIES)
def test_when_the_money_is_gone(story, left):
    """The recent pace counts, and what would last to the window's end is never gone."""
    assert told(story) == pytest.approx(left, rel=0.2)


def test_a_new_process_begins_with_the_mean_so_far():
    """Restarted at six, with twelve of twenty-four hours' money spent: gone at noon."""
    forecast, now = Forecast(), START + 6 * HOUR
    forecast.see(NAME, "w", START, START + DAY, LIMIT // 2, LIMIT // 2, now)
    assert forecast.gone_at(NAME, LIMIT // 2, START + DAY, now) == pytest.approx(START + 12 * HOUR)


def test_the_pace_outlives_midnight():
    """What runs away before midnight is said to run away right after it."""
    forecast = Forecast()
    for n in range(1, 61):
        forecast.see(NAME, "today", START, START + DAY, n * 600, LIMIT - n * 600, START + n * 60)
    now = START + 61 * 60
    forecast.see(NAME, "tomorrow", now, now + DAY, 600, LIMIT - 600, now)
    assert forecast.gone_at(NAME, LIMIT - 600, now + DAY, now) < now + 2 * HOUR


def test_gone_stays_when_it_was():
    """The moment at which nothing was left does not move on, and is forgotten once there is money again."""
    forecast = Forecast()
    for seconds in (0, 60, 120):
        forecast.see(NAME, "w", START, START + DAY, LIMIT, 0, START + seconds)
    assert forecast.gone_at(NAME, 0, START + DAY, START + 120) == START
    forecast.see(NAME, "w", START, START + DAY, LIMIT, 1, START + 180)
    assert forecast.gone_at(NAME, 10**9, START + DAY, START + 180) == NEVER


def test_a_total_without_an_end_is_forecast_too():
    """It has no start to take a mean from: the pace is learned."""
    forecast, name = Forecast(), ("ns/b", "Total")
    for n in range(2000):
        forecast.see(name, "t", -math.inf, math.inf, n * 60, LIMIT * 100 - n * 60, START + n * 60)
    assert forecast.gone_at(name, 10_000, math.inf, START) == pytest.approx(START + 10_000, rel=0.2)


def test_limits_that_are_gone_are_forgotten():
    """A budget that was deleted leaves nothing behind."""
    forecast = Forecast()
    forecast.see(NAME, "w", START, START + DAY, 1, 1, START)
    forecast.keep(set())
    assert forecast.gone_at(NAME, 1, START + DAY, START) == NEVER
