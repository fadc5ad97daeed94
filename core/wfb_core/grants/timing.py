"""The algorithm's constants, in seconds unless said otherwise; read through the module, so a test can change one."""

TIMEOUT = 2.0
"""A reply that takes longer is taken for lost, and the wallet reports anew."""
GAP = 0.01
"""Least time between two reports of a holder: what happens within it travels together."""
FREED = 0.1
"""How soon settled money is told where there is no slack: a call elsewhere may be waiting for it."""
NEAR = 1.0
"""Between reports while calls wait, where no slack is left, and past nine tenths of a limit."""
FAR = 5.0
"""Between reports with news or slack while the limit is far."""
BEAT = 15.0
"""Between reports without news; a quarter of LEARN, so that a restored ledger hears all who live."""

SILENT = 6.0
"""A report unanswered this long means that no ledger answers; three lost replies in a row."""
LOST = 60.0
"""A holder unheard this long counts as lost: its money stays out, and calls that only it could free are told STUCK."""
LEARN = 60.0
"""After a restore: the time in which holders say what they hold and nothing is granted."""

AHEAD = 60.0
"""How long before its start a window hands out slack."""
IDLE = 60.0
"""A holder without a call for this long wants no slack, and may put away the purse of an ended window."""
UNKNOWN = 86_400.0
"""A purse of a window that the ledger no longer knows is put away when unnamed this long."""

CROWD = 10.0
"""A queue whose oldest call waits this long takes no more."""
CROWD_CALLS = 200
"""Calls; a queue of this many takes no more, which also bounds the work of one need."""
TIGHT = 3.0
"""How long a window hands out no slack after a call was short in it, and how long an unrepeated waiter keeps its place."""

TAU = 30.0
"""Time constant of the decaying sums that measure a holder's pace."""
SPEND_SECONDS = 240.0
"""Seconds of spending that a holder wants at hand: two minutes without a ledger, and as much again for a pace that still grows."""
HOLD_SECONDS = 5.0
"""Seconds of new holds that a holder wants at hand."""
