"""How much a call may hold: all that it can cost, the least worth holding, and how far its cap is lowered near a limit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wfb_core import bounds, reasons
from wfb_core.budget import ADAPTIVE, STRICT, Budget
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
from wfb_core.expectation import Expectations
from wfb_core.grants import EXHAUSTED, TIMED_OUT, Wallet
from wfb_core.price import ModelPrice
from wfb_sidecar.scope import OpenWindow

UNKNOWN = 1 << 62
"""The full hold of a call that only a cap of ours bounds."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What one call may hold, nano-USD."""

    full: int
    """All that it can cost; UNKNOWN where nothing says."""
    floor: int
    """The least worth holding."""
    usual: int | None
    """Adaptive: what 99 of 100 of its model's recent answers stayed within; None before enough are seen."""
    clamps: bool
    """Whether its cap may be lowered."""

    def strict(self) -> "Sizes":
        """Nothing is lowered: it needs all."""
        return Sizes(self.full, self.full, None, clamps=False)


def sizes_of(
    deciding: Iterable[Budget], facts: CallFacts, price: ModelPrice, expectations: Expectations
) -> Sizes | None:
    """What a call may hold; None where nothing bounds it, nothing may be written into it, and a budget minds."""
    modes = {b.output_bound for b in deciding}
    full, least = bounds.most(facts, price), bounds.minimum(facts, price)
    clamps = STRICT not in modes
    if modes and (least is None or (full is None and not clamps)):
        return None
    p99 = expectations.output_p99(facts) if ADAPTIVE in modes else None
    usual = None if p99 is None else bounds.hold(facts, price, p99)
    sizes = Sizes(UNKNOWN if full is None else full, least or 0, usual, clamps)
    return sizes if clamps else sizes.strict()


def lowered(wallet: Wallet, now: float, sizes: Sizes, windows: Sequence[OpenWindow]) -> int:
    """The hold down to which an answer's cap is cut as money stands now; the full one while the limit is far."""
    limits = {w.id: w.limit.nanos for w in windows}
    ids = tuple(limits)
    hold = wallet.clamp(sizes.full, sizes.floor, ids, limits)
    if hold < sizes.full and sizes.usual is not None:
        hold = max(sizes.floor, min(hold, sizes.usual))
    if wallet.silent(now) and hold > (at_hand := wallet.at_hand(ids)):
        hold = max(sizes.floor, at_hand // 2)  # nobody grants more: what is here has to serve the next call too
    return hold


def smaller(wallet: Wallet, now: float, answer: str, sizes: Sizes, windows: Sequence[OpenWindow]) -> int | None:
    """The hold to try next after the ledger's answer; None where no smaller one would help."""
    if not sizes.clamps or not windows:
        return None
    if answer == TIMED_OUT and wallet.silent(now):
        return lowered(wallet, now, sizes, windows)
    left = min((x for w in windows if (x := wallet.left(w.id)) is not None), default=None)
    if answer != EXHAUSTED or left is None or left < sizes.floor:
        return None
    return max(sizes.floor, min(left, lowered(wallet, now, sizes, windows)))


def unbounded(budget: Budget, model: str) -> Refusal:
    """The refusal of a call that may cost anything."""
    return Refusal(
        reasons.UNBOUNDED,
        f"neither the request nor the price table bounds the cost of {model!r}; set an output cap,"
        f" or outputBound Clamp in budget {budget.key}",
        budget.refusal_status,
        budget=budget.key,
    )
