"""What a check found: how bad, on which object, in one sentence, and the way out."""

from dataclasses import dataclass

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"
LEVELS = (OK, NOTE, WARNING, PROBLEM)
"""From the best to the worst. A warning is money that may go uncounted, a problem keeps the operator from working."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    level: str
    check: str
    subject: str
    """The object, as ``kind namespace/name``; empty for the cluster as a whole."""
    message: str
    way_out: str = ""
