"""The courier: every notice to every target until it took it, each at its own pace, a few at a time."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfb_core.budget import Budget, Limit, Notify
from wfb_core.runs import run_in_words
from wfb_core.windows import parse_window_id
from wfb_operator.notify.egress import Egress
from wfb_operator.notify.message import CONTENT_TYPE, Message, message_of, target_name, targets_of
from wfb_operator.notify.post import Outcome, post
from wfb_operator.notify.signature import signed_headers, signing_keys

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
"""Between two attempts: doubled each time, from one to the other."""
GIVE_UP_SECONDS = 86_400.0
"""A notice that nobody takes for so long is news no more."""
AT_ONCE = 8

FAILED, GIVEN_UP = "NotifyFailed", "NotifyGivenUp"

type Secrets = Callable[[Budget, str], Awaitable[Mapping[str, bytes]]]
type Mark = Callable[[str, int, list[str], bool], Awaitable[None]]
"""(window, percentage, names of targets that took it, whether nothing more is to be sent)."""


class SecretUnreadError(Exception):
    """A Secret cannot be read; the message says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a budget's owner should hear of, once for each target of a notice."""

    budget: str
    reason: str
    message: str
    identity: str
    """The same for the same trouble, by this process or the next."""


@dataclass(slots=True)
class _Try:
    """How a target of a notice has fared in this process."""

    attempts: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class Courier:
    """Sends what is due; ``round`` is called every second or so with what the ledger says is to be sent."""

    secrets: Secrets
    mark: Mark
    tell: Callable[[Trouble], Awaitable[None]]
    egress: Egress
    wall: Callable[[], float]
    count: Callable[[str], None] = lambda _: None
    """Counts attempts by ``delivered``, ``failed`` or ``given_up``."""
    _tries: dict[tuple[str, int, str], _Try] = field(default_factory=dict, init=False)

    async def round(self, notices: Sequence[Mapping[str, Any]], budgets: Mapping[str, Budget]) -> None:
        """One attempt at everything that is due; what fails is tried in a later round."""
        wanted = {(notice["window"], notice["at_percent"]) for notice in notices}
        self._tries = {key: tried for key, tried in self._tries.items() if key[:2] in wanted}
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._notice(notice, budgets, slots) for notice in notices))

    async def _notice(self, notice: Mapping[str, Any], budgets: Mapping[str, Budget], slots: asyncio.Semaphore) -> None:
        found = _limit_of(notice, budgets)
        targets = targets_of(notice, *found) if found else ()
        taken = set(notice["delivered"])
        left = [target for target in targets if target_name(target) not in taken]
        if not left or found is None:
            await self.mark(notice["window"], notice["at_percent"], sorted(taken), True)
            return
        message = message_of(notice, *found)
        outcomes = await asyncio.gather(*(self._target(notice, found[0], t, message, slots) for t in left))
        over = {target_name(t) for t, ended in zip(left, outcomes, strict=True) if ended}
        if over:
            await self.mark(notice["window"], notice["at_percent"], sorted(taken | over), len(over) == len(left))

    async def _target(
        self, notice: Mapping[str, Any], budget: Budget, target: Notify, message: Message, slots: asyncio.Semaphore
    ) -> bool:
        """Whether this target is to be sent nothing more; False also where its time has not come."""
        key = (notice["window"], notice["at_percent"], target_name(target))
        tried = self._tries.get(key, _Try())
        if self.wall() < tried.not_before:
            return False
        async with slots:
            outcome = await self._attempt(budget, target, message)
        if outcome.delivered:
            self.count("delivered")
            self._tries.pop(key, None)
            return True
        old = self.wall() - notice["at"] > GIVE_UP_SECONDS
        self.count("given_up" if old or outcome.final else "failed")
        if old or outcome.final:
            self._tries.pop(key, None)
            await self._tell(budget, GIVEN_UP, f"{outcome.problem}; no longer tried", key)
            return True
        if not tried.attempts:
            await self._tell(budget, FAILED, f"{outcome.problem}; tried again for a day", key)
        wait = max(min(FIRST_SECONDS * 2**tried.attempts, LONGEST_SECONDS), outcome.after)
        self._tries[key] = _Try(tried.attempts + 1, self.wall() + wait)
        return False

    async def _attempt(self, budget: Budget, target: Notify, message: Message) -> Outcome:
        try:
            url, keys = await self._resolved(budget, target)
        except SecretUnreadError as error:
            return Outcome(delivered=False, problem=str(error))
        headers = signed_headers(keys, message.id, int(self.wall()), message.body)
        return await post(url, {"content-type": CONTENT_TYPE, **headers}, message.body, self.egress)

    async def _resolved(self, budget: Budget, target: Notify) -> tuple[str, tuple[bytes, ...]]:
        """The address, and the keys to sign with; raises SecretUnreadError."""
        if not target.secret:
            return target.url, ()
        data = await self.secrets(budget, target.secret)
        where = f"Secret {target.secret}"
        url = target.url
        if not url:
            if target.url_key not in data:
                raise SecretUnreadError(f"{where} has no key {target.url_key}, which should hold the address")
            url = data[target.url_key].decode("utf-8", "replace").strip()
        signing = data.get(target.signing_key)
        if signing is None and target.url:
            raise SecretUnreadError(f"{where} has no key {target.signing_key}, which should hold the signing key")
        try:
            return url, signing_keys(signing) if signing is not None else ()
        except ValueError as error:
            raise SecretUnreadError(f"key {target.signing_key} of {where}: {error}") from error

    async def _tell(self, budget: Budget, reason: str, message: str, key: tuple[str, int, str]) -> None:
        window, percent, _ = key
        _, kind, label = parse_window_id(window)
        what = f"run {run_in_words(label)}" if kind == "Run" else kind
        identity = json.dumps([reason, *key])
        await self.tell(
            Trouble(budget.key, reason, f"The notice of {percent} % of {what} does not arrive: {message}.", identity)
        )


def _limit_of(notice: Mapping[str, Any], budgets: Mapping[str, Budget]) -> tuple[Budget, Limit] | None:
    """What a notice is about; None where its budget or limit is gone."""
    budget = budgets.get(notice["budget"])
    if budget is None:
        return None
    _, kind, _ = parse_window_id(notice["window"])
    return next(((budget, limit) for limit in budget.limits if limit.window == kind), None)
