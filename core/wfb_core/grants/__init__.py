"""Money grants: how one limit is shared by any number of holders, and never passed.

A :class:`Wallet` lives at each holder and decides calls from money at hand; one :class:`Ledger` hands that money out.
They exchange a :class:`Report` and a :class:`Reply` at a time. Money is whole nano-USD, time is an argument in seconds,
and nothing here reads a clock, a disk or a network. The rules, and where each is kept:

1.  **What a report says.** For every window the holder's running totals (used, held, expected), the ceiling it keeps to
    and its wish for slack (``want``); then its waiting calls, each with one hold, one expectation, all the windows it
    must fit in and the time it has waited. (messages)
2.  **One sequence per holder.** A report older than the last is dropped, the same one gets the same reply. A wallet has
    one report under way and acts once on a reply, and only on the reply to its latest report. So loss, doubling and
    reordering change nothing. (``Ledger.report``, ``Wallet.on_reply``)
3.  **Two inequalities.** ``used + held <= ceiling <= granted`` at the holder, ``sum(granted) <= limit`` at the ledger.
    Every window keeps running sums of its rows, so a report costs by the windows and calls that it names, however many
    holders there are. (window, ``Ledger._book``)
4.  **Giving back, and going over.** ``granted`` falls to the ceiling a report states, and by nothing else. What is used
    and held above it is overdraft: recorded, committed, and nothing more is granted in that window until all fits
    again. A ceiling above granted, a ``used`` that shrank, or a total above twice granted plus a tenth of the limit is
    not believed: the report is refused whole and the holder flagged. (``Ledger._plausible``, ``Ledger._take``)
5.  **Gross grants, all or none.** A waiting call is granted its full hold on top of the stated ceiling, in all its
    windows or in none, so a granted call fits whatever its holder did meanwhile, and opposite orders of windows
    cannot block each other. (``Ledger._decide``)
6.  **Five answers.** EXHAUSTED: what is *used* leaves no room for the hold in some window. STUCK: only silent holders
    have the money. GRANTED: the hold fits beside what is committed and what older waiters need. BUSY: the queue is too
    long to join. PENDING: everything else. (``Ledger._decide``)
7.  **Queues.** A call that does not fit queues in every window where it is short, with the age of its first need, and
    keeps all its places until it is answered or its holder stops repeating it for TIGHT seconds. A queue is too long
    when its oldest waits above CROWD seconds, when CROWD_CALLS wait, or when what is ahead exceeds what is left.
    (window, ``Ledger._decide``)
8.  **Slack.** ``keep = want * min(1, room / 4 / sum of wants)`` with ``room = limit - used - held``. None where the wants
    exceed the room, and none while the window is tight, slow, closed, not yet near or the ledger learns.
    (``Ledger._share``)
9.  **Wants.** SPEND_SECONDS of the holder's spending plus HOLD_SECONDS of its holds, nothing after IDLE seconds without a
    call. Where keep is zero no call takes slack by itself: it asks, so freed money goes to the oldest need and not to
    the nearest. (purse, ``Wallet.ask``)
10. **Cutting.** A report first cuts the ceiling to ``used + held + keep``, then tells. While no ledger answers nothing is
    cut and calls may help themselves: then the money at hand is for use. (``Wallet.report``)
11. **When to report.** FAR seconds apart with news or slack, NEAR in a window without slack or past nine tenths, GAP
    after a new need or a settlement that local calls wait for, FREED after one without slack, BEAT otherwise, so that a restored ledger hears all who live while it learns. (``Wallet.due``)
12. **The record.** A wallet saves nonce, epoch, sequence, ceilings, used and held before a call leaves and before a
    report leaves. Resumed from it, what was held counts as used. A purse of an ended window is put away only when it
    was told in full and not named for IDLE seconds. (``Wallet.resume``, ``Wallet.on_reply``)
13. **Restored and released.** After a restore the epoch rises: LEARN seconds without grants, and what a holder states is
    believed, whenever it comes, until it first speaks in the new epoch. Slack released by hand is believed again if its
    holder returns. Both are booked as ``learned``. (``Ledger.begin_epoch``, ``Ledger.release``)
14. **Midnight.** A window opens AHEAD seconds early for slack and at its start for calls. A call belongs to the window in
    which its hold is placed: a grant that arrives after midnight is slack of yesterday, and the call asks again.
    (``Wallet.ahead``, ``Wallet.on_reply``)
15. **Slow.** A line runs evenly from the spend at which Slow began to the limit at the window's end. A call may go, in
    order of age, while what is used, expected of calls in flight and expected of those ahead is below the line; where
    any are ahead its own expectation too, or it would take what is theirs to spend. The
    line leads that sum by at most a fiftieth of the rest and a minute of pace, and trails ``used`` by at most a fiftieth.
    Where Slow has a rate of its own the line rises by that instead, leads by at most a minute of it, and waits for
    whatever is spent above it. A window with neither end nor rate has nothing to pace to. (``Window.pace``)
16. **Throttle.** With a trickle a limit is followed by an allowance: ``trickle * time`` since the first call that found
    too little left of the limit itself. ``sum(granted) <= limit + allowance``, so a hold goes when all of it has
    accrued, in the same queue and order of age. Nobody is EXHAUSTED or STUCK there; who surely cannot be served within
    its patience is BUSY at once, and keeps nobody waiting. A grant that leaves the limit room again ends it, as does
    another trickle or a higher limit: no allowance for a time in which it was not due. (``Window.advance``,
    ``Ledger._in_the_way``)
17. **Turns.** With every answer but GRANTED goes the window that decided, how it stands in the way, and the seconds until
    the call's turn as far as they can be told. Of several the tightest is named where money is gone, the one whose turn
    is farthest where it is not. (``Obstacle``)
"""

from wfb_core.grants.ledger import Changes, Holder, Ledger
from wfb_core.grants.messages import (
    ANSWERS,
    BUSY,
    EXHAUSTED,
    GRANTED,
    HELD,
    PACED,
    PENDING,
    SILENT_MONEY,
    SPENT,
    STUCK,
    THROTTLED,
    TIMED_OUT,
    WAYS,
    Claim,
    Need,
    Obstacle,
    Reply,
    Report,
    Share,
)
from wfb_core.grants.purse import Purse
from wfb_core.grants.timing import (
    AHEAD,
    BEAT,
    CROWD,
    CROWD_CALLS,
    FAR,
    FREED,
    GAP,
    HOLD_SECONDS,
    IDLE,
    LEARN,
    LOST,
    NEAR,
    SILENT,
    SPEND_SECONDS,
    TAU,
    TIGHT,
    TIMEOUT,
    UNKNOWN,
)
from wfb_core.grants.wallet import Record, Wallet
from wfb_core.grants.window import Row, Waiter, Window

__all__ = [
    "AHEAD",
    "ANSWERS",
    "BEAT",
    "BUSY",
    "CROWD",
    "CROWD_CALLS",
    "EXHAUSTED",
    "FAR",
    "FREED",
    "GAP",
    "GRANTED",
    "HELD",
    "HOLD_SECONDS",
    "IDLE",
    "LEARN",
    "LOST",
    "NEAR",
    "PACED",
    "PENDING",
    "SILENT",
    "SILENT_MONEY",
    "SPEND_SECONDS",
    "SPENT",
    "STUCK",
    "TAU",
    "THROTTLED",
    "TIGHT",
    "TIMED_OUT",
    "TIMEOUT",
    "UNKNOWN",
    "WAYS",
    "Changes",
    "Claim",
    "Holder",
    "Ledger",
    "Need",
    "Obstacle",
    "Purse",
    "Record",
    "Reply",
    "Report",
    "Row",
    "Share",
    "Waiter",
    "Wallet",
    "Window",
]
