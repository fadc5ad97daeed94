"""Books over a real store of this process, for tests of what reads them; amounts leave as the ledger's answers have them."""

import asyncio

from wfb_operator.ledger.store.port import Writes
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.ledger.summary import in_dollars
from wfb_operator.showback.books import PAGE, Reading


class StoreBooks:
    """Reads a store; ``budgets`` and ``refusals`` are what its summary and decisions say."""

    def __init__(self, directory, budgets=(), refusals=()):
        self._directory, self._budgets, self._refusals = str(directory), list(budgets), list(refusals)

    def write(self, usage, now=1_800_000_000.0, *, roll=False, keep=None):
        """Adds usage rows, rolls them up, and forgets what a Retention no longer keeps."""

        async def work(store):
            await store.write(Writes(now, usage=usage))
            while roll and await store.roll_up(now):
                pass
            while keep and await store.tidy(keep.horizon(now)):
                pass

        self._with(work)

    def usage(self, by, since, until, *, only, skip=0, most=PAGE):
        found = self._with(
            lambda store: store.usage(tuple(by), since // 60, -(-until // 60), most, skip=skip, only=only)
        )
        return Reading([in_dollars(row) for row in found.rows], found.since * 60, found.until * 60)

    def summary(self, since):
        return {"budgets": self._budgets}

    def decisions(self, kind, most):
        return self._refusals

    def runs(self, most):
        return []

    def stages(self, most):
        return []

    def _with(self, work):
        async def run():
            store = SqliteStore.open(self._directory)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())


def usage_row(minute, *, nanos=1_000_000, list_nanos=None, team="a", workflow="w", model="gpt-5", served="", **more):
    """One (key, counts) of usage."""
    outcome, estimated = more.pop("outcome", "ok"), int(more.pop("estimated", False))
    key = (
        minute,
        more.pop("namespace", "ns"),
        team,
        more.pop("feature", "f"),
        workflow,
        more.pop("run", ""),
        more.pop("agent", ""),
        more.pop("provider", "openai"),
        model,
        served or model,
        outcome,
        estimated,
        "p1",
    )
    calls = more.pop("calls", 1)
    tokens = [more.pop(name, 0) for name in ("input", "cache_read", "cache_write", "output", "reasoning")]
    assert not more, more
    return key, [
        calls,
        calls if outcome == "refused" else 0,
        *tokens,
        nanos,
        nanos if list_nanos is None else list_nanos,
    ]
