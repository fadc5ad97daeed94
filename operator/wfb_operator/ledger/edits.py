"""What the controller changes: budgets, prices, identities, and grants of holders that are surely dead."""

import hashlib

from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.store.port import Wanted, Writes


def replace_budgets(memory: Memory, budgets: Budgets, now: float, writes: Writes) -> bool:
    """Put a whole set of budgets in force; False where it is the one that was.

    Windows of a budget that is gone stay as they are, and count again if it comes back under its name.
    """
    if budgets.same(memory.budgets):
        return False
    memory.budgets = budgets
    writes.budgets = tuple(entry.stored() for entry in budgets.entries.values())
    memory.edit_windows(memory.notes)
    memory.scope_changed(now)
    return True


def replace_prices(memory: Memory, snapshot: bytes, now: float, writes: Writes) -> str:
    """Put a price snapshot in force; returns its SHA-256."""
    sha256 = hashlib.sha256(snapshot).hexdigest()
    if sha256 != memory.prices:
        writes.snapshot = sha256, snapshot
        memory.prices = sha256
        memory.scope_changed(now)
    return sha256


def identities_wanted(memory: Memory, identities: list[Identity], wanted: Wanted) -> None:
    """Add the pods that have to be looked up before identities are taken in."""
    wanted.pods |= {i.holder_prefix for i in identities if i.holder_prefix and i.holder_prefix not in memory.pods}


def add_identities(memory: Memory, identities: list[Identity], now: float, writes: Writes) -> None:
    """Add or replace identities by their tokens' hashes; a pod that reported keeps the labels it had then."""
    changed = False
    for identity in identities:
        pod = memory.pods.get(identity.holder_prefix) if identity.holder_prefix else None
        taken = identity.frozen(pod) if pod else identity
        before = memory.identities.get(taken.token_sha256)
        if before != taken:
            changed = changed or before is not None
            memory.identities[taken.token_sha256] = taken
            writes.identities.append(taken.stored())
    if changed:
        memory.scope_changed(now)


def release_holder(memory: Memory, holder: str) -> dict[str, int] | None:
    """Give back the slack of a holder that is surely dead: nano-USD by window; None for one that is not known.

    Whoever releases bears the risk of what the holder spent from it and never told.
    """
    if holder not in memory.grants.holders:
        return None
    return memory.grants.release(holder)
