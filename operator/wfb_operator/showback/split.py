"""Splitting what belongs to nobody, or to everybody, over those who spent: shared and idle cost.

Two rules, to the nano-dollar: *proportional* to what each spent itself, or *even* over all who spent anything. What does
not divide goes to the largest remainders first (Hamilton's method), ties by name, so the shares add up to the whole and
the same books always give the same statement. The FinOps Foundation names the two strategies, and fixed shares as a third
(https://www.finops.org/framework/capabilities/allocation/); fixed shares are a matter for labels here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

PROPORTIONAL, EVEN, NONE = "proportional", "even", "none"
RULES = (PROPORTIONAL, EVEN, NONE)


@dataclass(frozen=True, slots=True)
class Share:
    """One name's statement; nano-USD."""

    name: str
    direct: int
    """What it spent itself."""
    shared: int
    """Its part of what is shared."""
    idle: int
    """Its part of what was paid and used by nobody."""

    @property
    def total(self) -> int:
        """What it is charged."""
        return self.direct + self.shared + self.idle


def statement(spent: Mapping[str, int], *, rule: str, common: Collection[str] = ("",), idle: int = 0) -> list[Share]:
    """Everybody's share of what was spent by name, dearest first.

    ``common`` are the names whose spend is shared: no name at all, unless told otherwise, and teams that serve all
    others. ``idle`` comes on top: a commitment's unused part, say. Where nobody spent anything of their own, or the rule
    is ``none``, what is common stays under its own names and what is idle under none. Amounts are not negative.
    """
    direct = {name: amount for name, amount in spent.items() if name not in common and amount > 0}
    if rule == NONE or not direct:
        shares = [Share(name, amount, 0, 0) for name, amount in spent.items()]
        if idle and "" not in spent:
            shares.append(Share("", 0, 0, 0))
        shares = [Share(s.name, s.direct, 0, idle if s.name == "" else 0) for s in shares]
    else:
        weights = direct if rule == PROPORTIONAL else dict.fromkeys(direct, 1)
        pool = sum(amount for name, amount in spent.items() if name in common)
        shared, unused = divided(pool, weights), divided(idle, weights)
        free = {name for name, amount in spent.items() if name not in common and amount == 0}
        shares = [Share(name, direct[name], shared[name], unused[name]) for name in direct]
        shares += [Share(name, 0, 0, 0) for name in free]
    return sorted(shares, key=lambda share: (-share.total, share.name))


def divided(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """An amount divided by weights that are above zero, whole units, adding up exactly."""
    whole = sum(weights.values())
    parts = {name: amount * weight // whole for name, weight in weights.items()}
    left = amount - sum(parts.values())
    for name in sorted(weights, key=lambda name: (-(amount * weights[name] % whole), name))[:left]:
        parts[name] += 1
    return parts
