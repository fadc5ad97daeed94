"""The books of the ledger on this machine, as reports read them."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.processes import signals_held
from wfb_operator.cli.resource_books import ResourceBooks
from wfb_operator.cli.state import Ledger, State, enter, find_ledger, leave, start_ledger, started

PATHS = {"summaries": "/v1/summary"}
"""Where the ledger itself has a resource; the others are at ``/v1/NAME``."""


@dataclass(frozen=True, slots=True)
class LedgerBooks(ResourceBooks):
    """Reads over HTTP; raises LedgerError."""

    ledger: Ledger

    def get(self, resource: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One resource of the ledger itself; raises LedgerError."""
        found: dict[str, Any] = self.ledger.get(PATHS.get(resource, f"/v1/{resource}"), **query)
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
