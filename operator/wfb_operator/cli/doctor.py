"""``wfb doctor``: what keeps calls from being counted, and the way out of each."""

import argparse
import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from wfb_operator.cli.tables import PLAIN_WIDTH
from wfb_operator.doctor.finding import LEVELS, OK, PROBLEM, Finding

_CHECKS = ("installed", "labels", "templates", "pods", "budgets")
_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="what keeps calls from being counted in a cluster",
        description="Looks at labels, pods, budgets and the webhook with your own rights, and changes nothing.",
        epilog="exit code: 0 nothing worse than a note, 1 warnings or problems, 2 there is no cluster to look at",
    )
    parser.add_argument("-n", "--namespace", help="only this namespace; all where it is left out")
    parser.add_argument("--kubeconfig", metavar="FILE", help="as kubectl reads it; $KUBECONFIG where it is left out")
    parser.add_argument("--context", help="a context of the kubeconfig")
    parser.add_argument(
        "--injection", action="store_true", help="also try a labelled pod, by a dry run, in the namespace or default"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=(*_CHECKS, "injection"),
        help="only this check, and what it has to read; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings; see the epilog for the exit code."""
    from wfb_operator.doctor.checks import examine  # noqa: PLC0415 — the client takes a second to load
    from wfb_operator.doctor.look import Look, LookError  # noqa: PLC0415

    try:
        look = Look(args.kubeconfig, args.context)
        looks = not args.only or set(args.only) != {"injection"}
        found = examine(look.seen(args.namespace), args.only) if looks else []
        if args.injection or "injection" in args.only:
            found.append(look.try_injection(args.namespace or "default"))
    except LookError as error:
        sys.stderr.write(f"wfb: {error}\n")
        return 2
    if args.json:
        print(json.dumps({"findings": [dataclasses.asdict(f) for f in found]}, indent=2))
    else:
        _print(found)
    return int(any(LEVELS.index(f.level) >= LEVELS.index("warning") for f in found))


def _print(found: list[Finding]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    table = Table("", "check", "what", "way out", box=None, pad_edge=False, header_style="bold")
    for finding in sorted(found, key=lambda f: -LEVELS.index(f.level)):
        what = f"{finding.subject}: {finding.message}" if finding.subject else finding.message
        table.add_row(f"[{_STYLES[finding.level]}]{finding.level}[/]", finding.check, what, finding.way_out)
    console.print(table)
    bad = [f for f in found if f.level not in (OK, "note")]
    problems = sum(f.level == PROBLEM for f in bad)
    console.print(f"{problems} problems, {len(bad) - problems} warnings")
