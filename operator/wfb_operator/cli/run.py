"""``wfb run``: one command with a ledger and a sidecar around it, on this machine and without Kubernetes.

In order: everything given is checked, and nothing is started where something is wrong; the ledger of the shared state is
joined or started, and the sidecar beside it; the command runs with our terminal; the sidecar ends the calls in flight
and reports; what was spent is shown; and whoever leaves last stops the ledger.
"""

import argparse
import os
import sys
from typing import Any

from wfb_core.host_table import known_hosts
from wfb_operator.cli.environment import MODES, PROXY
from wfb_operator.cli.live import AUTO, OFF, ON, Voice, shows_live
from wfb_operator.cli.plan import EXAMPLE, make_plan
from wfb_operator.cli.session import Session


def add_parser(commands: Any) -> None:
    """Adds ``run`` to the command line."""
    parser = commands.add_parser(
        "run",
        help="run a command within budgets, on this machine",
        description="Runs a command so that its calls to model providers stay within dollar budgets.",
        epilog=(
            "examples:\n"
            f"  {EXAMPLE}\n"
            "  wfb run --budget budget.yaml --report-only -- npm start        count and tell, refuse nothing\n"
            "  wfb run --budget budget.yaml --json spent.json -- make evals   what was spent, for a program\n"
            "  wfb run --budget budget.yaml --mode base-url -- node agent.js  for Node before 22.21\n"
            "\n"
            "The exit code is the command's; 2 means that something given is wrong and nothing was started, 125 that\n"
            "wfb itself failed, 126 and 127 that the command cannot be run or is not there. Budget files may be edited\n"
            "while the command runs: a new limit, or suspend: true, counts at once. All runs of a user share one state,\n"
            "so a limit for a Day counts them together."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="%(prog)s --budget FILE [options] -- COMMAND [ARGUMENT ...]",
    )
    add = parser.add_argument
    add("--budget", metavar="FILE", action="append", required=True, help="a YAML file of budgets; may be repeated")
    add(
        "--label",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="who the command is: workflow=…, team=…, feature=…; without any, the budgets' own labels",
    )
    add("--run", metavar="ID", dest="run_id", help="the name of this run, for limits per Run (default: one made up)")
    add("--namespace", metavar="NS", help="the namespace of the command, and of budgets that name none")
    add("--state", metavar="DIR", help="where spend is kept (default: $XDG_STATE_HOME/wfb, else ~/.local/state/wfb)")
    add("--report-only", action="store_true", help="decide and record as if enforced, and let everything through")
    add("--mode", choices=MODES, default=PROXY, help="how calls are reached (default: proxy)")
    add("--override-trust", action="store_true", help="replace trust variables that are set; their roots stay trusted")
    add("--live", choices=(AUTO, OFF, ON), default=AUTO, help="a status line: on, off, or where it does not disturb")
    add("--quiet", action="store_true", help="say nothing but errors")
    add(
        "--json", metavar="FILE", nargs="?", const="-", help="write what was spent as JSON to FILE (-: standard output)"
    )
    add(
        "--secrets",
        metavar="DIR",
        help="a file NAME/KEY for each key of a Secret that notify names (default: $WFB_SECRETS)",
    )
    add("--upstream-ca", metavar="FILE", help="PEM file of roots by which providers are trusted as well")
    add(
        "--connect-to",
        metavar="HOST:PORT=HOST:PORT",
        action="append",
        default=[],
        help="connect to another address; the name is verified all the same",
    )
    add("--hosts", metavar="FILE", help="a TOML table of providers' hosts in addition to the known ones")
    add(
        "--endpoint",
        metavar="HOST:PORT=PROVIDER",
        action="append",
        default=[],
        help=f"an own model server, and whose API it speaks ({', '.join(known_hosts().kinds())})",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command; the exit code. Raises UsageError, BudgetFileError, CommandError, StateError and StartError."""
    plan = make_plan(args, os.environ)
    plan.state.prepare()
    drawn = not args.quiet and shows_live(args.live, sys.stderr.isatty(), sys.stdout.isatty())
    voice = Voice(quiet=args.quiet, live=drawn)
    session = Session(plan, voice, stages_told=args.live != OFF)
    try:
        session.open(os.environ)
        for note in (*plan.notes, *session.warnings):
            voice.note(note)
        return session.finish(session.run_command())
    finally:
        session.close()
