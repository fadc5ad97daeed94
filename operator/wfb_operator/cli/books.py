"""The books of the ledger on this machine, as reports read them."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.processes import signals_held
from wfb_operator.cli.state import Ledger, State, enter, find_ledger, leave, start_ledger, started
from wfb_operator.showback.books import PAGE, Reading, Row


@dataclass(frozen=True, slots=True)
class LedgerBooks:
    """Reads over HTTP; raises LedgerError."""

    ledger: Ledger

    def usage(
        self, by: Sequence[str], since: int, until: int, *, only: Mapping[str, str], skip: int = 0, most: int = PAGE
    ) -> Reading:
        """Sums of usage by some dimensions in [since, until), dearest first; ``only`` keeps rows that have these values."""
        numbers = {"since": since, "until": until, "skip": skip, "limit": most}
        query = {**only, "by": ",".join(by), **{name: str(value) for name, value in numbers.items()}}
        answer = self.ledger.get("/v1/usage", **query)
        return Reading(answer["usage"], answer["since"], answer["until"])

    def summary(self, since: int) -> Row:
        """Every budget's windows now, with usage since a time."""
        found: Row = self.ledger.get("/v1/summary", since=str(since))
        return found

    def decisions(self, kind: str, most: int) -> list[Row]:
        """The newest decisions, of a kind where it is not empty."""
        found: list[Row] = self.ledger.get("/v1/decisions", kind=kind, limit=str(most))["decisions"]
        return found

    def runs(self, most: int) -> list[Row]:
        """The runs seen last."""
        found: list[Row] = self.ledger.get("/v1/runs", limit=str(most))["runs"]
        return found

    def stages(self, most: int) -> list[Row]:
        """The newest changes of stage."""
        found: list[Row] = self.ledger.get("/v1/stages", limit=str(most))["stages"]
        return found


def check_recorded(state: State) -> None:
    """Raises UsageError where no run ever wrote anything in a state."""
    if not os.path.isdir(state.path("ledger")):
        raise UsageError(
            f"nothing was recorded in {state.root} yet: give the --state DIR of your runs, spend something with wfb run, or"
            " give -n NAMESPACE for a cluster"
        )


@contextlib.contextmanager
def visiting(state: State) -> Iterator[Ledger]:
    """The ledger of a state: the one that is running, else one started for as long as this lasts."""
    state.prepare()
    member = ledger = service = None
    try:
        with state.turn(), signals_held():
            member = enter(state, f"report-{os.getpid()}-{secrets.token_hex(4)}")
            ledger = find_ledger(state)
            if ledger is None:
                service = start_ledger(state)
                ledger = started(state, service)
        yield ledger
    finally:
        if member is not None:
            with signals_held():
                leave(member, ledger, service)
