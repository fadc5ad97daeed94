"""Steps of a ladder that no call can follow, as `wfb run` tells of them."""

from collections.abc import Sequence

from wfb_core.budget import DOWNGRADE, Budget
from wfb_core.downgrade_checks import WAY_OUT, contradictions
from wfb_core.price import PriceBook


def useless_steps(budgets: Sequence[Budget], prices: bytes, at: float) -> list[str]:
    """A sentence for each step with the way out; ``prices`` is a snapshot, ``at`` Unix seconds."""
    stepping = [b for b in budgets if any(r.action == DOWNGRADE for lim in b.limits for r in b.ladder_of(lim))]
    if not stepping:
        return []  # prices are read for nobody else
    book = PriceBook.from_snapshot(prices)
    return [f"budget {b.key}: {text}. {WAY_OUT}" for b in stepping for text in contradictions(b, book, at)]
