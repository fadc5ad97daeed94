"""``wfb report``: what was spent, from the shared state, whether a run is going on or not."""

import argparse
import contextlib
import datetime
import difflib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

from wfb_operator.cli import tables
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.processes import signals_held
from wfb_operator.cli.state import Ledger, State, default_root, enter, find_ledger, leave, start_ledger, started

DIMENSIONS = (
    "workflow",
    "team",
    "feature",
    "run",
    "namespace",
    "agent",
    "provider",
    "model",
    "served_model",
    "outcome",
    "minute",
)
"""What usage may be told by."""

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def add_parser(commands: Any) -> None:
    """Adds ``report`` to the command line."""
    parser = commands.add_parser(
        "report",
        help="what was spent, by workflow, team, model …",
        description="Shows what all runs on this machine have spent, and how the budgets stand.",
        epilog=(
            "examples:\n"
            "  wfb report                            the last 24 hours by workflow and model\n"
            "  wfb report --since 7d --by team\n"
            "  wfb report --since 2026-11-01 --by workflow,run --json"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--state", metavar="DIR", help="where spend is kept (default: $XDG_STATE_HOME/wfb, else ~/.local/state/wfb)")
    add("--since", metavar="WHEN", default="24h", help="30m, 24h, 7d, 2w, or a date such as 2026-11-23 (default: 24h)")
    add("--by", metavar="LIST", default="workflow,model", help=f"of {', '.join(DIMENSIONS)} (default: workflow,model)")
    add("--json", action="store_true", help="one JSON document instead of tables")
    parser.set_defaults(run=report)


def report(args: argparse.Namespace) -> int:
    """Prints what was spent; raises UsageError, StateError, StartError and LedgerError."""
    by = dimensions(args.by)
    now = time.time()
    since = moment_of(args.since, now)
    state = State(os.path.abspath(args.state or default_root(os.environ)))
    if not os.path.isdir(state.path("ledger")):
        raise UsageError(
            f"nothing was recorded in {state.root} yet: give the --state DIR of your runs, or spend something with wfb run"
        )
    with visiting(state) as ledger:
        rows = tables.usage_rows(ledger.get("/v1/usage", by=",".join((*by, "estimated")), since=str(since)))
        summary = ledger.get("/v1/summary")
    usage, budgets = tables.folded(rows, by), tables.budgets_of(summary, None, None)
    if args.json:
        document = {
            "since": since,
            "until": int(now),
            "by": list(by),
            "totals": (tables.folded(rows, ()) or [tables.nothing()])[0],
            "usage": usage,
            "budgets": budgets,
        }
        print(json.dumps(document, indent=2))
        return 0
    title = f"Since {tables.moment(since)}"
    tables.print_tables((tables.usage_table(usage, by, title), tables.budget_table(budgets)), sys.stdout)
    return 0


def dimensions(text: str) -> tuple[str, ...]:
    """The dimensions of a list such as ``workflow,model``; raises UsageError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in DIMENSIONS:
            near = difflib.get_close_matches(name, DIMENSIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose of {', '.join(DIMENSIONS)}"
            raise UsageError(f"--by {name} is not something usage is told by: {hint}")
    if not names:
        raise UsageError(f"--by is empty: choose of {', '.join(DIMENSIONS)}")
    return names


def moment_of(text: str, now: float) -> int:
    """The Unix time of ``24h`` before ``now``, or of a date or time of this machine's zone; raises UsageError."""
    if ago := _AGO.fullmatch(text):
        return int(now) - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"--since {text!r} is not understood: write 30m, 24h, 7d, 2w, or a date such as 2026-11-23"
        ) from error


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
