"""What happens on each rung: the budgets that are put there, the calls that are made, and what is done meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.until import until
from sdks.rows import ROWS, Row
from sdks.stand import PATIENCE, Stand, budget_name, case_of
from wfb_core.money import format_usd, parse_usd

PROMPT = "Sort this letter into one of five folders."
LONG, SHORT = 5000, 200
"""Tokens of the provider's answers: more than a clamped call may have, and few."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one call of one SDK."""

    told: dict[str, Any]
    """As its process said it; asking.py names the keys."""
    refused: int
    """Attempts that the sidecar answered itself."""
    forwarded: int
    """Attempts that reached the provider."""
    expected: dict[str, Any]
    """What the budget object of a refusal must say, as far as it is known beforehand."""

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.refused + self.forwarded


Found = dict[str, Seen]
"""By the row's name."""


def _day(usd: str, **spec: Any) -> dict[str, Any]:
    return {"limits": [{"window": "Day", "usd": usd}], **spec}


def _plenty(**spec: Any) -> dict[Row, dict[str, Any]]:
    return dict.fromkeys(ROWS, _day("1000.00", **spec))


def _call(
    stand: Stand,
    *,
    stream: bool = False,
    model: str = "",
    meanwhile: Callable[[], None] = lambda: None,
    gate: Callable[[], None] | None = None,
    expected: dict[Row, dict[str, Any]] | None = None,
) -> Found:
    """One call of every SDK, all at once, and what the sidecars counted.

    `meanwhile` is done while the calls are on their way; `gate` while every SDK that waits to come again is held there.
    """
    places = stand.places.values()
    before = {place.row: place.counted() for place in places}
    for place in places:
        place.talker.ask(case_of(place.row, PROMPT, model=model, stream=stream, gate=gate is not None))
    meanwhile()
    told = {place.row: place.talker.told() for place in places}
    if gate is not None:
        gate()
        for place in places:
            if "waiting" in told[place.row]:
                place.talker.go_on()
                told[place.row] = place.talker.told()
    until(lambda: all(not place.sidecar.busy() for place in places), "all calls settled", PATIENCE)
    found = {}
    for place in places:
        row, after = place.row, place.counted()
        grown = {name: int(after[name] - before[place.row][name]) for name in after}
        about = {"budget": budget_name(row), **(expected or {}).get(row, {})}
        found[row.name] = Seen(told[row], grown["refused"], grown["forwarded"], about)
    return found


def answer(stand: Stand, *, stream: bool = False) -> Found:
    """No rung: there is money for everything."""
    stand.put(_plenty())
    stand.behave(output_tokens=SHORT)
    return _call(stand, stream=stream)


def refuse(stand: Stand, *, stream: bool = False, status: int = 402) -> Found:
    """A little is left: too little for this model, enough for a cheaper one."""
    limits = stand.usd_beyond(1)
    spec = {"refusalStatus": status} if status != 402 else {}
    stand.put({row: _day(usd, **spec) for row, usd in limits.items()})
    about = {row: {"reason": "BudgetExhausted", "limit": limits[row], "scope": "Day"} for row in ROWS}
    return _call(stand, stream=stream, expected=about)


def clamp(stand: Stand, *, stream: bool = False, bound: str = "Clamp") -> Found:
    """What is left pays a part of a long answer."""
    limits = stand.usd_beyond(4)
    stand.put({row: _day(usd, outputBound=bound) for row, usd in limits.items()})
    stand.behave(output_tokens=LONG)
    try:
        return _call(stand, stream=stream)
    finally:
        stand.behave(output_tokens=SHORT)


def warn(stand: Stand) -> Found:
    """The first rung is reached: somebody is told, and no call is any different."""
    return _on_rung(stand, lambda _: {"action": "Warn"})


def downgrade(stand: Stand, *, stream: bool = False) -> Found:
    """Another model of the provider is asked instead."""
    return _on_rung(
        stand,
        lambda row: {"action": "Downgrade", "models": [{"from": row.model, "to": row.cheaper}]},
        stream=stream,
    )


def _on_rung(stand: Stand, rung: Callable[[Row], dict[str, Any]], *, stream: bool = False) -> Found:
    """A call after the one with which the rung is reached for certain."""
    limits = stand.usd_beyond(40)
    stand.put({row: _day(usd, ladder=[{"atPercent": 1, **rung(row)}]) for row, usd in limits.items()})
    _call(stand)
    stand.spent()
    return _call(stand, stream=stream)


def throttle(stand: Stand) -> Found:
    """The limit is spent, and a trickle pays a call within seconds."""
    return _throttled(stand, 36_000, 20)


def throttle_too_long(stand: Stand) -> Found:
    """The limit is spent, and the trickle pays a call in hours."""
    return _throttled(stand, 1, 1, expected={row: {"reason": "Throttled"} for row in ROWS})


def _throttled(stand: Stand, an_hour: int, seconds: int, expected: dict[Row, dict[str, Any]] | None = None) -> Found:
    """All is spent to the last; an hour's trickle is `an_hour` times a row's ``left``."""

    def spec(row: Row) -> dict[str, Any]:
        usd = format_usd(an_hour * parse_usd(row.left))
        return {"onExhausted": {"action": "Throttle", "usdPerHour": usd}, "maxDelaySeconds": seconds}

    limits = stand.usd_beyond(0)
    stand.put({row: _day(usd, **spec(row)) for row, usd in limits.items()})
    return _call(stand, expected=expected)


def loop(stand: Stand) -> Found:
    """A run has cost many times what runs usually do."""
    stand.put(_plenty(loops={"action": "Refuse", "costMultiple": 2, "minimumRuns": 200, "usualRunUSD": "0.000001"}))
    _call(stand)  # from now on the guard knows what the run has cost
    return _call(stand, expected={row: {"reason": "LoopRefused"} for row in ROWS})


def _paced(stand: Stand, seconds: int) -> None:
    """Slow, with money for hours, of which the call that was just made has taken the next minutes' share.

    That call may wait as long as it needs; the next ones `seconds`.
    """
    limits = stand.usd_beyond(40)
    ladder = [{"atPercent": 1, "action": "Slow"}]

    def put(delay: int) -> None:
        stand.put({row: _day(usd, ladder=ladder, maxDelaySeconds=delay) for row, usd in limits.items()})

    put(20)
    for seen in _call(stand).values():
        assert "error" not in seen.told, seen
    put(seconds)


def slow(stand: Stand) -> Found:
    """A call's turn has not come; while it waits the limit is raised, and it goes."""
    _paced(stand, 20)

    def raise_limits() -> None:
        until(lambda: all(place.waits() for place in stand.places.values()), "a waiting call of every SDK", PATIENCE)
        stand.put(_plenty())

    return _call(stand, meanwhile=raise_limits)


def slow_too_long(stand: Stand) -> Found:
    """A call's turn does not come within the largest delay."""
    _paced(stand, 1)
    _call(stand)  # what a first call expected too much is given back to the pace, and pays for a second one
    return _call(stand, expected={row: {"reason": "Paced"} for row in ROWS})


def slow_then_room(stand: Stand) -> Found:
    """As before, but while an SDK waits to come again the limit is raised."""
    _paced(stand, 1)
    return _call(stand, gate=lambda: stand.put(_plenty()))


def suspend(stand: Stand) -> Found:
    """The kill switch."""
    stand.put(_plenty(suspend=True))
    return _call(stand, expected={row: {"reason": "Suspended"} for row in ROWS})


def deny(stand: Stand) -> Found:
    """The model is on the budget's list of those not to use."""
    stand.put({row: _day("1000.00", models={"denied": [row.model]}) for row in ROWS})
    return _call(stand, expected={row: {"reason": "ModelNotAllowed"} for row in ROWS})


def unpriced(stand: Stand) -> Found:
    """Nobody knows what the model costs."""
    stand.put(_plenty())
    return _call(stand, model="model-of-tomorrow", expected={row: {"reason": "ModelUnpriced"} for row in ROWS})


RUNGS: dict[str, Callable[[Stand], Found]] = {
    "Answer": answer,
    "Answer, stream": lambda stand: answer(stand, stream=True),
    "Refuse": refuse,
    "Refuse, stream": lambda stand: refuse(stand, stream=True),
    "Refuse as 429": lambda stand: refuse(stand, status=429),
    "Clamp": clamp,
    "Clamp, stream": lambda stand: clamp(stand, stream=True),
    "Adaptive": lambda stand: clamp(stand, bound="Adaptive"),
    "Warn": warn,
    "Downgrade": downgrade,
    "Downgrade, stream": lambda stand: downgrade(stand, stream=True),
    "Throttle": throttle,
    "Throttle, too long": throttle_too_long,
    "Slow": slow,
    "Slow, too long": slow_too_long,
    "Slow, then room": slow_then_room,
    "Suspend": suspend,
    "Model denied": deny,
    "Model unpriced": unpriced,
    "Loop": loop,
}
"""By the names of the columns in docs/sdks.md."""
