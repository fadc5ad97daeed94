"""What the guard says: the figures in words, for an Event, a refusal and a record alike."""

from wfb_core.budget import FLAG, REFUSE, SLOW
from wfb_core.loops.recent import GROWN, Evidence
from wfb_core.loops.usual import Usual
from wfb_core.money import NANOS_PER_USD


def figures(unit: str, total: int, usual: Usual, evidence: Evidence) -> str:
    """What was seen: what the run costs beside the usual one, and what its last calls look like."""
    is_run = unit.startswith("run/")
    what, many = ("run", "runs") if is_run else ("pod's hour", "hours of pods")
    ratio = f"{total / max(usual.median, 1):.1f} x"
    if usual.sample:
        told = [f"this {what} has cost {usd(total)}, {ratio} the median of {usual.sample} {many} ({usd(usual.median)})"]
    else:
        told = [f"this {what} has cost {usd(total)}, {ratio} what spec.loops.usualRunUSD states ({usd(usual.median)})"]
    if evidence.alike_calls > 1:
        told.append(f"{evidence.alike_calls} of the last {evidence.calls} requests were nearly the same")
    if evidence.failed_tools >= 0.3:
        told.append(f"{evidence.failed_tools:.0%} of their cost carried the result of a tool that failed")
    if evidence.retried >= 0.2:
        told.append(f"{evidence.retried:.0%} of it went into an SDK's repeated attempts")
    if evidence.growth >= GROWN:
        told.append(f"the input has grown to {evidence.growth:.1f} x")
    if usual.rate and evidence.rate >= 4 * usual.rate:
        told.append(f"it spends {evidence.rate / usual.rate:.0f} x as fast as usual")
    return "; ".join(told)


def consequence(stage: str, budget: str, cooldown: float) -> str:
    """What is done about it."""
    return {
        FLAG: f"budget {budget} flags it (spec.loops)",
        SLOW: f"budget {budget} slows its calls down (spec.loops)",
        REFUSE: f"budget {budget} refuses its calls (spec.loops) and tries one again after {cooldown:g} s",
    }[stage]


def usd(nanos: int) -> str:
    """Dollars for people: cents, or three significant digits of less than a cent."""
    dollars = nanos / NANOS_PER_USD
    return (
        f"${dollars:.2f}"
        if dollars >= 0.1 or not nanos
        else f"${dollars:.3g}"
        if dollars >= 1e-4
        else f"${dollars:.9f}"
    )
