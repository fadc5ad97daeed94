"""What a holder and the ledger say to each other: running totals one way, running totals and answers the other."""

from dataclasses import dataclass, field
from math import inf

GRANTED = "granted"
"""The hold is reserved in every window: the call may go."""
PENDING = "pending"
"""The money is out in holds or slack that may come back: keep waiting."""
BUSY = "busy"
"""Too many already wait: try again soon."""
STUCK = "stuck"
"""Only holders that fell silent have the money: try again much later."""
EXHAUSTED = "exhausted"
"""What is already settled leaves no room for the call in one of its windows."""
TIMED_OUT = "timed out"
"""The wallet's own answer: the call waited as long as it was told to."""

ANSWERS = (GRANTED, PENDING, BUSY, STUCK, EXHAUSTED)
"""All that a ledger answers to a need."""

SPENT = "spent"
"""What is settled leaves no room for the call."""
SILENT_MONEY = "silent"
"""Holders that fell silent have the money."""
HELD = "held"
"""Calls in flight, slack of other holders or older calls have the money."""
PACED = "paced"
"""The window is in Slow, and the call's turn has not come."""
THROTTLED = "throttled"
"""The window is exhausted, and its trickle has not yet allowed enough for the call."""

WAYS = (SPENT, SILENT_MONEY, HELD, PACED, THROTTLED)
"""How a window can stand in a call's way."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The window that decided about a call that is not granted."""

    window: str
    way: str
    """One of ``WAYS``."""
    turn: float = 0.0
    """Seconds until the call's turn, as far as the ledger can tell now; 0.0 where it cannot."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a holder says about itself in one window; running totals in nano-USD."""

    used: int
    """Cost of everything settled."""
    held: int
    """Holds of calls in flight."""
    expected: int
    """What those calls are expected to cost."""
    ceiling: int
    """The total that used and held keep to."""
    want: int
    """Slack it could use, by its pace."""


@dataclass(frozen=True, slots=True)
class Need:
    """One waiting call."""

    call: int
    """The holder's own number for the call."""
    hold: int
    """Worst-case cost in nano-USD."""
    expected: int
    """Likely cost in nano-USD; pacing counts it."""
    windows: tuple[str, ...]
    """Every window in which the hold must fit; each is named in the same report's claims."""
    waited: float
    """Seconds since the call was asked for."""
    patience: float = inf
    """Seconds that it will still wait where it is paced or throttled."""


@dataclass(frozen=True, slots=True)
class Report:
    """One message of a holder."""

    holder: str
    epoch: int
    """The ledger's epoch that the holder last heard; 0 before the first reply."""
    seq: int
    """Rises by one with every report."""
    claims: dict[str, Claim]
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What the ledger says about one window to one holder; nano-USD."""

    granted: int
    """The holder's new ceiling, a running total."""
    keep: int
    """Slack it may keep above what it uses and holds."""
    left: int
    """Limit less everything settled by anyone: a hold above it is exhausted."""
    room: int
    """Limit less everything settled or held by anyone; an answer's cap is clamped to a share of it."""
    closed: bool
    """Whether the window has ended."""
    limit: int | None = None
    """The limit as the ledger knows it now; None where the sender does not say, and then ``spent`` is not known."""
    trickled: int | None = None
    """What the trickle allows beyond the limit by now, counted in ``left`` and ``room``; None where there is none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The ledger's answer to one report."""

    seq: int
    """The report it answers."""
    epoch: int
    period: float
    """Seconds to the holder's next report with news."""
    shares: dict[str, Share]
    answers: dict[int, str]
    """Answer by call number, one for every need."""
    obstacles: dict[int, Obstacle] = field(default_factory=dict)
    """What stands in the way, by call number, of those that were not granted."""
