"""Whether a person may read something: asked of the API server, and remembered for some seconds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wfb_operator.ledger.people.person import Person

REMEMBERED_SECONDS = 10.0
"""How long a right that was taken away may still be used; a page that looks every two seconds asks once in this time."""

ANSWERS_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to read: a resource of the group, of one namespace or, where that is empty, of all."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""


class Judge(Protocol):
    """Who decides: the cluster's own authorizers."""

    def allowed(self, person: Person, wish: Wish) -> bool:
        """Whether a person may; blocks, and raises ClusterAwayError where it cannot be asked."""


class Access:
    """Answers of the cluster's authorizers."""

    def __init__(self, judge: Judge, monotonic: Callable[[], float]) -> None:
        self._judge, self._monotonic = judge, monotonic
        self._known: OrderedDict[tuple[str, Wish], tuple[float, bool]] = OrderedDict()

    async def allowed(self, person: Person, wish: Wish) -> bool:
        """Whether a person may now; raises ClusterAwayError where that cannot be asked: then nobody may."""
        key = person.key, wish
        asked, answer = self._known.get(key, (float("-inf"), False))
        if self._monotonic() - asked < REMEMBERED_SECONDS:
            return answer
        answer = await asyncio.to_thread(self._judge.allowed, person, wish)
        self._known[key] = self._monotonic(), answer
        self._known.move_to_end(key)
        while len(self._known) > ANSWERS_MOST:
            self._known.popitem(last=False)
        return answer
