"""What sidecar and ledger say to each other: JSON, with nothing in it that the other side has not checked.

A ``Dispatch`` goes up, a ``Response`` comes down. Money is whole nano-USD, times are Unix seconds, and nothing infinite
is ever written. Unknown fields are left unread, so that either side may be the newer one. Everything malformed raises
ValueError with the field's place, because one bad number in a group of reports must not spoil the others' transaction;
a decision record alone is dropped where it is malformed: it explains money and is none.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core.grants import ANSWERS, WAYS, Claim, Need, Obstacle, Reply, Report, Share

OUTCOMES = ("ok", "error", "disconnected", "cut", "interrupted", "refused", "unmetered", "unpriced")
"""How a call ended, as usage rows count it."""

KINDS = ("refusal", "estimate", "finding")
"""What a decision record tells of."""

MONEY_MOST = 2**62
"""The largest amount on the wire, in nano-USD: what a store keeps in 64 bits."""

CLAIM_MOST = 2**60
"""The largest amount of a claim: over a billion dollars, and used and held together stay within 64 bits."""

COUNT_MOST = 2**50
"""The largest count, and the largest amount of one usage row: a million dollars in a minute."""

ID_LONGEST, MODEL_LONGEST, MESSAGE_LONGEST = 512, 256, 2000
"""Characters of ids, of names that callers give, and of sentences."""

TURN_MOST = 1e9
"""The longest turn that is told, seconds."""

DETAILS_LONGEST = 8000
"""Characters of a decision's details: windows of a dozen budgets, and more are cut."""

MINUTE_MOST = 10_000 * 366 * 24 * 60
"""The last minute of the calendar, and a little more."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Calls of one minute that agree in everything but their counts."""

    minute: int
    """Unix minutes of the admission."""
    provider: str
    model: str
    served_model: str
    outcome: str
    estimated: bool
    calls: int
    refused: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    nanos: int
    """What was charged: the effective price."""
    list_nanos: int
    """What the provider's list price would have been."""
    agent: str = ""
    run: str = ""
    """The run that the caller named; empty where it named none."""
    prices: str = ""
    """The version of the price snapshot that was applied, ``provider`` where the provider said the cost
    itself, ``budget`` where a budget states the price of models that have none."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision worth keeping, for ``wfb explain``: amounts in nano-USD, no content of the call."""

    id: str
    at: float
    kind: str
    reason: str
    message: str = ""
    status: int = 0
    provider: str = ""
    model: str = ""
    budget: str = ""
    window: str = ""
    hold: int = 0
    cost: int = 0
    limit: int = 0
    spent: int = 0
    details: str = ""
    """A JSON object with what the decision was made from (``wfb_core.evidence``); empty from an older sidecar."""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Usage rows and decisions under a number of their own; repeated until applied, applied once."""

    number: int
    """1, 2, … per holder."""
    rows: tuple[UsageRow, ...] = ()
    decisions: tuple[DecisionRecord, ...] = ()
    dropped: tuple[str, ...] = ()
    """Why decisions that came with it were left out: which field, and what is wrong there. Never on the wire."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a sidecar sends: its report, and the batches that no answer has confirmed."""

    report: Report
    batches: tuple[Batch, ...] = ()
    windows_scope: int = 0
    """The version of the scope by which the report names its windows; 0 before the first."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What the guard against loops compares a run with; amounts in nano-USD."""

    unit: str
    """The run, or the hour, as wfb_core.loops.unit_of names it."""
    own: int = 0
    """What this pod spent in it."""
    others: int = 0
    """What its other pods spent in it."""
    median: int = 0
    """What the workflow's runs usually cost; 0 where none is known."""
    sample: int = 0
    """How many runs that was learned from."""
    rate: int = 0
    """Their median rate, a minute."""


@dataclass(frozen=True, slots=True)
class Response:
    """What the ledger answers."""

    reply: Reply | None
    """None for an old report, and for a repeated one whose answer is forgotten: ask anew."""
    applied: int
    """The highest batch applied for this holder."""
    scope: int
    """The version of the scope now; another than the sidecar's means: fetch it."""
    now: float
    """The ledger's clock."""
    loops: RunFigures | None = None
    """For the guard against loops; None where no budget of the pod has one, or the ledger knows of none."""


# ---------------------------------------------------------------- writing
def encode_dispatch(dispatch: Dispatch) -> bytes:
    """The JSON body of a report."""
    report = dispatch.report
    return _write(
        {
            "report": {
                "holder": report.holder,
                "epoch": report.epoch,
                "seq": report.seq,
                "claims": {
                    window: {
                        "used": c.used,
                        "held": c.held,
                        "expected": c.expected,
                        "ceiling": c.ceiling,
                        "want": c.want,
                    }
                    for window, c in report.claims.items()
                },
                "needs": [
                    {
                        "call": n.call,
                        "hold": n.hold,
                        "expected": n.expected,
                        "windows": list(n.windows),
                        "waited": n.waited,
                        **({} if n.patience == math.inf else {"patience": n.patience}),
                    }
                    for n in report.needs
                ],
            },
            "batches": [
                {
                    "number": batch.number,
                    "rows": [_fields(row) for row in batch.rows],
                    "decisions": [_fields(decision) for decision in batch.decisions],
                }
                for batch in dispatch.batches
            ],
            "windows_scope": dispatch.windows_scope,
        }
    )


def encode_response(response: Response) -> bytes:
    """The JSON body of the ledger's answer."""
    reply = response.reply
    return _write(
        {
            "reply": None
            if reply is None
            else {
                "seq": reply.seq,
                "epoch": reply.epoch,
                "period": reply.period,
                "shares": {
                    window: {
                        "granted": s.granted,
                        "keep": s.keep,
                        "left": s.left,
                        "room": s.room,
                        "closed": s.closed,
                        "limit": s.limit,
                        **({} if s.trickled is None else {"trickled": s.trickled}),
                    }
                    for window, s in reply.shares.items()
                },
                "answers": {str(call): answer for call, answer in reply.answers.items()},
                "obstacles": {
                    str(call): {"window": o.window, "way": o.way, "turn": min(o.turn, TURN_MOST)}
                    for call, o in reply.obstacles.items()
                },
            },
            "applied": response.applied,
            "scope": response.scope,
            "now": response.now,
            **({} if response.loops is None else {"loops": run_figures_document(response.loops)}),
        }
    )


def run_figures_document(figures: RunFigures) -> dict[str, Any]:
    """Run figures as JSON carries them."""
    return {name: getattr(figures, name) for name in RunFigures.__slots__}


def parse_run_figures(document: Any, place: str = "loops") -> RunFigures | None:
    """The same read; None for None; raises ValueError that names the field."""
    return None if document is None else _run_figures(_Fields(document, place))


# ---------------------------------------------------------------- reading
def decode_dispatch(body: bytes) -> Dispatch:
    """A sidecar's report; raises ValueError that names the field."""
    top = _Fields(_read(body), "")
    return Dispatch(
        report=_report(top.section("report")),
        batches=tuple(_batch(section) for section in top.sections("batches")),
        windows_scope=top.whole("windows_scope"),
    )


def decode_response(body: bytes) -> Response:
    """The ledger's answer; raises ValueError that names the field."""
    top = _Fields(_read(body), "")
    return Response(
        reply=None if top.given("reply") is None else _reply(top.section("reply")),
        applied=top.whole("applied"),
        scope=top.whole("scope"),
        now=top.moment("now"),
        loops=parse_run_figures(top.value.get("loops")),
    )


def _run_figures(figures: "_Fields") -> RunFigures:
    return RunFigures(
        unit=figures.text("unit", ID_LONGEST + 64),
        own=figures.whole("own", most=MONEY_MOST),
        others=figures.whole("others", most=MONEY_MOST),
        median=figures.whole("median", most=MONEY_MOST),
        sample=figures.whole("sample"),
        rate=figures.whole("rate", most=MONEY_MOST),
    )


def _report(report: "_Fields") -> Report:
    claims = report.section("claims")
    return Report(
        holder=report.text("holder", ID_LONGEST, least=1),
        epoch=report.whole("epoch"),
        seq=report.whole("seq", least=1),
        claims={
            _sound(window, ID_LONGEST, claims.place(window)): _claim(claims.section(window)) for window in claims.value
        },
        needs=tuple(_need(section) for section in report.sections("needs")),
    )


def _claim(claim: "_Fields") -> Claim:
    # Nothing below zero has a meaning; what is implausible beyond that the ledger judges.
    return Claim(
        used=claim.whole("used", most=CLAIM_MOST),
        held=claim.whole("held", most=CLAIM_MOST),
        expected=claim.whole("expected", most=CLAIM_MOST),
        ceiling=claim.whole("ceiling", most=CLAIM_MOST),
        want=claim.whole("want", most=CLAIM_MOST),
    )


def _need(need: "_Fields") -> Need:
    windows = need.listed("windows")
    return Need(
        call=need.whole("call", most=MONEY_MOST),
        hold=need.whole("hold", most=MONEY_MOST),
        expected=need.whole("expected", most=MONEY_MOST),
        windows=tuple(_sound(w, ID_LONGEST, need.place("windows", i)) for i, w in enumerate(windows)),
        waited=need.moment("waited", least=0.0),
        patience=need.moment("patience", least=0.0) if "patience" in need.value else math.inf,
    )


def _batch(batch: "_Fields") -> Batch:
    decisions, dropped = _decisions(batch)
    return Batch(
        number=batch.whole("number", least=1),
        rows=tuple(_usage_row(section) for section in batch.sections("rows")),
        decisions=decisions,
        dropped=dropped,
    )


def _decisions(batch: "_Fields") -> tuple[tuple[DecisionRecord, ...], tuple[str, ...]]:
    """The records that can be read, and what is wrong with the others.

    A sidecar repeats a batch until it is applied: refused for one record, it could never report its spend again.
    """
    read, dropped = [], []
    for index, value in enumerate(batch.listed("decisions")):
        try:
            read.append(_decision(_Fields(value, batch.place("decisions", index))))
        except ValueError as error:
            dropped.append(str(error))
    return tuple(read), tuple(dropped)


def _usage_row(row: "_Fields") -> UsageRow:
    return UsageRow(
        minute=row.whole("minute", most=MINUTE_MOST),
        provider=row.text("provider", MODEL_LONGEST),
        model=row.text("model", MODEL_LONGEST),
        served_model=row.text("served_model", MODEL_LONGEST),
        outcome=row.choice("outcome", OUTCOMES),
        estimated=row.flag("estimated"),
        calls=row.whole("calls"),
        refused=row.whole("refused"),
        input_tokens=row.whole("input_tokens"),
        cache_read_tokens=row.whole("cache_read_tokens"),
        cache_write_tokens=row.whole("cache_write_tokens"),
        output_tokens=row.whole("output_tokens"),
        reasoning_tokens=row.whole("reasoning_tokens"),
        nanos=(nanos := row.whole("nanos")),
        list_nanos=row.whole("list_nanos", default=nanos),
        agent=row.text("agent", MODEL_LONGEST, default=""),
        run=row.text("run", MODEL_LONGEST, default=""),
        prices=row.text("prices", MODEL_LONGEST, default=""),
    )


def _decision(decision: "_Fields") -> DecisionRecord:
    return DecisionRecord(
        id=decision.text("id", ID_LONGEST, least=1),
        at=decision.moment("at"),
        kind=decision.choice("kind", KINDS),
        reason=decision.text("reason", ID_LONGEST),
        message=decision.text("message", MESSAGE_LONGEST, default=""),
        status=decision.whole("status", most=999, default=0),
        provider=decision.text("provider", MODEL_LONGEST, default=""),
        model=decision.text("model", MODEL_LONGEST, default=""),
        budget=decision.text("budget", ID_LONGEST, default=""),
        window=decision.text("window", ID_LONGEST, default=""),
        hold=decision.whole("hold", most=MONEY_MOST, default=0),
        cost=decision.whole("cost", most=MONEY_MOST, default=0),
        limit=decision.whole("limit", most=MONEY_MOST, default=0),
        spent=decision.whole("spent", most=MONEY_MOST, default=0),
        details=decision.text("details", DETAILS_LONGEST, default=""),
        run=decision.text("run", MODEL_LONGEST, default=""),
    )


def _reply(reply: "_Fields") -> Reply:
    shares, answers = reply.section("shares"), reply.section("answers")
    return Reply(
        seq=reply.whole("seq", least=1),
        epoch=reply.whole("epoch"),
        period=reply.moment("period", least=0.0),
        shares={
            _sound(window, ID_LONGEST, shares.place(window)): _share(shares.section(window)) for window in shares.value
        },
        answers={_call(call, answers.place(call)): answers.choice(call, ANSWERS) for call in answers.value},
        obstacles=_obstacles(reply.section("obstacles")) if "obstacles" in reply.value else {},
    )


def _obstacles(given: "_Fields") -> dict[int, Obstacle]:
    found = {}
    for call in given.value:
        one = given.section(call)
        if one.value.get("way") in WAYS:  # a newer ledger may know of more ways: the answer itself says what to do
            obstacle = Obstacle(one.text("window", ID_LONGEST), one.choice("way", WAYS), one.moment("turn", least=0.0))
            found[_call(call, given.place(call))] = obstacle
    return found


def _share(share: "_Fields") -> Share:
    # What is left of an overdrawn limit is below zero.
    return Share(
        granted=share.whole("granted", most=2**63),
        keep=share.whole("keep", most=2**63),
        left=share.whole("left", least=-(2**63), most=2**63),
        room=share.whole("room", least=-(2**63), most=2**63),
        closed=share.flag("closed"),
        limit=share.whole("limit", most=2**63),
        trickled=share.whole("trickled", most=2**63) if "trickled" in share.value else None,
    )


def _call(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise ValueError(f"{place}: {text[:40]!r} is not a call's number")
    return int(text)


# ---------------------------------------------------------------- JSON
def _write(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _fields(record: UsageRow | DecisionRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _read(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("the body is nested too deeply to be a report") from error
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from error


def _sound(value: object, longest: int, place: str, least: int = 0) -> str:
    """Text that any store can keep: not too long, and without half characters."""
    if not isinstance(value, str):
        raise ValueError(f"{place}: {_short(value)} is not text")
    if not least <= len(value) <= longest:
        raise ValueError(f"{place}: {_short(value)} has {len(value)} characters: {least} to {longest} are taken")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place}: {_short(value)} holds half a character (a lone surrogate)") from error
    return value


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:59] + "…"


_MISSING: Any = object()


class _Fields:
    """One JSON object, read field by field; every error says where in the document it is."""

    __slots__ = ("_at", "value")

    def __init__(self, value: Any, at: str) -> None:
        if type(value) is not dict:
            raise ValueError(f"{at or 'the body'}: {_short(value)} is not an object")
        self.value: dict[str, Any] = value
        self._at = at

    def place(self, name: str, index: int | None = None) -> str:
        """The dotted path of a field."""
        path = f"{self._at}.{name[:80]}" if self._at else name[:80]
        return path if index is None else f"{path}[{index}]"

    def given(self, name: str, default: Any = _MISSING) -> Any:
        value = self.value.get(name, default)
        if value is _MISSING:
            raise ValueError(f"{self.place(name)} is missing")
        return value

    def whole(self, name: str, least: int = 0, most: int = COUNT_MOST, default: Any = _MISSING) -> int:
        value = self.given(name, default)
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{self.place(name)}: {_short(value)} is not a whole number from {least} to {most}")
        return value

    def moment(self, name: str, least: float = -1e18) -> float:
        value = self.given(name)
        if type(value) not in {int, float} or not least <= value <= 1e18 or not math.isfinite(value):
            raise ValueError(f"{self.place(name)}: {_short(value)} is not a finite number, at least {least:g}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.given(name)
        if type(value) is not bool:
            raise ValueError(f"{self.place(name)}: {_short(value)} is neither true nor false")
        return value

    def text(self, name: str, longest: int, least: int = 0, default: Any = _MISSING) -> str:
        return _sound(self.given(name, default), longest, self.place(name), least)

    def choice(self, name: str, names: tuple[str, ...]) -> str:
        value = self.given(name)
        if value not in names:
            raise ValueError(f"{self.place(name)}: {_short(value)} is none of {', '.join(names)}")
        return str(value)

    def listed(self, name: str) -> list[Any]:
        value = self.given(name)
        if type(value) is not list:
            raise ValueError(f"{self.place(name)}: {_short(value)} is not a list")
        return value

    def section(self, name: str) -> "_Fields":
        return _Fields(self.given(name), self.place(name))

    def sections(self, name: str) -> list["_Fields"]:
        return [_Fields(value, self.place(name, index)) for index, value in enumerate(self.listed(name))]
