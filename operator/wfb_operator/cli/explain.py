"""``wfb explain``: why a call was refused, and what a call of a workflow or pod would meet now."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wfb_core.document import parse_budget
from wfb_core.selectors import LABEL_PREFIX, label_key, label_value
from wfb_operator.cli import source, tables
from wfb_operator.cli.books import check_recorded, visiting
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.state import LedgerError
from wfb_operator.explain.answer import RECENT, explain_decision, explain_now
from wfb_operator.explain.subject import DECISION, POD, Subject, SubjectError, read_subject

if TYPE_CHECKING:
    from wfb_operator.cli.cluster_books import ClusterBooks
    from wfb_operator.doctor.look import Look

type Row = Mapping[str, Any]

SEARCHED = 10_000
"""Decisions that are looked through for a workflow's last ones: all that a ledger keeps."""


def add_parser(commands: Any) -> None:
    """Adds ``explain`` to the command line."""
    parser = commands.add_parser(
        "explain",
        help="why a call was refused, or what it would meet now",
        description="Says which budgets are for a call and why others are not, price and bound, how windows stand, and what would help.",
        epilog=(
            "examples:\n"
            "  wfb explain d-394038b1f3a7               a decision, as a refusal named it\n"
            "  wfb explain triage --label team=billing  a workflow of the runs on this machine\n"
            "  wfb explain pod/triage-7d9f -n billing   a pod of a cluster\n"
            "  kubectl wfb explain d-394038b1f3a7       a decision of a pod of a cluster; -n NAMESPACE, or -A"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("subject", metavar="DECISION|pod/NAME|WORKFLOW", help="what is asked about")
    add("--label", metavar="KEY=VALUE", action="append", default=[], help="a label of it beside workflow=…")
    source.add_flags(parser)
    add("--json", action="store_true", help="one JSON document instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the explanation; raises UsageError, StateError, StartError and LedgerError."""
    try:
        kind, name = read_subject(args.subject)
        labels = dict(_label(given) for given in args.label)
        if source.of_cluster(args) or (kind == POD and not args.state):
            found = _in_cluster(args, kind, name, labels)
        else:
            found = _on_this_machine(args, kind, name, labels)
    except SubjectError as error:
        raise UsageError(str(error)) from error
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


def _label(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    try:
        if equals:
            return label_key(key), label_value(value)
    except ValueError as error:
        raise UsageError(f"--label {given!r}: {error}") from error
    raise UsageError(f"--label {given!r} is not a label: write KEY=VALUE, such as --label team=billing")


def _on_this_machine(args: argparse.Namespace, kind: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    if kind == POD:
        raise UsageError(f"pod/{name} is of a cluster, and --state of runs on this machine: leave --state out")
    state = source.state_of(args)
    check_recorded(state)
    with visiting(state) as ledger:
        budgets = [parse_budget(document) for document in ledger.get("/v1/budgets")["budgets"]]
        lines = ledger.get("/v1/summary", since=str(int(time.time())))["budgets"]
        if kind == DECISION:
            records = ledger.get("/v1/decisions", id=name)["decisions"]
        else:
            records = ledger.get("/v1/decisions", limit=str(SEARCHED))["decisions"]
    if kind == DECISION:
        if not records:
            raise UsageError(
                f"decision {name} is not known here: the newest {SEARCHED} are kept, each in its own state; one of a"
                " cluster is found with --namespace NAMESPACE"
            )
        return explain_decision(records[0], budgets, lines)
    subject = Subject(kind, name, "", {LABEL_PREFIX + "workflow": name, **labels})
    return explain_now(subject, budgets, lines, _last(subject, records))


def _in_cluster(args: argparse.Namespace, kind: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    from wfb_operator.doctor.look import Look, LookError  # noqa: PLC0415 — the client takes a second to load
    from wfb_operator.explain.in_cluster import budgets_in, subject_in  # noqa: PLC0415

    books = source.cluster(args)
    if kind != DECISION and not books.namespace:
        raise UsageError(f"{kind} {name} is of one namespace: give --namespace instead of --all-namespaces")
    try:
        look = Look(args.kubeconfig, args.context)
        if kind == DECISION:
            return _decision_in(look, books, name)
        subject = subject_in(look, kind, name, books.namespace, labels)
        records, told = [], []
        try:
            records, told = books.decisions("", SEARCHED), books.summary(int(time.time()))["budgets"]
        except LedgerError as error:
            sys.stderr.write(f"wfb: figures are from the budgets' status, and no decisions are shown: {error}\n")
        budgets, lines = budgets_in(look, books.namespace, told)
    except LookError as error:
        raise UsageError(str(error)) from error
    return explain_now(subject, budgets, lines, _last(subject, records))


def _decision_in(look: "Look", books: "ClusterBooks", name: str) -> dict[str, Any]:
    """A decision of these books, with the budgets of its namespace and of the cluster."""
    from wfb_operator.explain.in_cluster import budgets_in  # noqa: PLC0415

    record = books.decision(name)
    if record is None:
        way = "give the --namespace of the pod that was refused" if books.namespace else "it may be of another cluster"
        raise UsageError(f"decision {name} is not known in {books.scope}: the newest {SEARCHED} are kept; {way}")
    told = books.summary(int(time.time()))["budgets"]
    return explain_decision(record, *budgets_in(look, record["namespace"], told))


def _last(subject: Subject, records: Sequence[Row]) -> list[dict[str, Any]]:
    return [_short(record) for record in records if subject.made(record)][:RECENT]


def _short(record: Row) -> dict[str, Any]:
    return {k: record[k] for k in ("id", "at", "kind", "reason", "message", "model", "budget", "run")}


def show(found: Row) -> None:
    """Prints an explanation for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else tables.PLAIN_WIDTH)

    def say(text: str, style: str = "") -> None:
        """One paragraph."""
        console.print(Text(text, style=style))

    subject, decision = found["subject"], found.get("decision")
    say(
        f"{subject['kind'].capitalize()} {subject['name']}"
        + (f" in {subject['namespace']}" if subject["namespace"] else ""),
        "bold",
    )
    if decision:
        say(
            f"{tables.moment(decision['at'])}, {decision['kind']}, {decision['reason']}"
            + (f", {decision['status']}" if decision["status"] else "")
        )
        say(decision["message"])
    say(found["sentence"])
    if subject["labels"]:
        say("labels: " + ", ".join(f"{k}={v}" for k, v in sorted(subject["labels"].items())))
    for line in _facts(decision or {}):
        say(line)
    console.print(_budgets(found))
    for budget in found["budgets"]:
        if not budget["matches"]:
            say(f"not for it: {budget['budget']}: {budget['whyNot']}")
    if found["waysOut"]:
        say("\nWhat would let it through:" if decision else "\nWhat would give room:", "bold")
        for sentence in found["waysOut"]:
            say(f"- {sentence}")
    if found.get("decisions"):
        say("\nLast decisions:", "bold")
        for record in found["decisions"]:
            say(
                f"{record['id']}  {tables.moment(record['at'])}  {record['kind']}  {record['reason']}  {record['message']}"
            )


def _facts(decision: Row) -> list[str]:
    """Price, bound and request of a decision, as far as it told them."""
    lines = []
    requested, price, bound = decision.get("requested"), decision.get("price"), decision.get("bound")
    if requested:
        cap = f"at most {requested['cap']} tokens of output" if requested["cap"] else "no cap on its output"
        lines.append(
            f"request: {decision['provider']} {requested['model']}, {cap}"
            + (", streamed" if requested["stream"] else "")
        )
    if price:
        lines.append(f"price: ${price['input']} in, ${price['output']} out per million tokens ({price['from']})")
    if bound:
        full = f"${bound['full']} at its cap" if bound["full"] else "nothing bounds its output"
        least = f"${bound['least']} at least, " if bound["least"] else ""
        hold = f", ${bound['hold']} asked for last" if bound["hold"] != "0.00" else ""
        lines.append(f"bound: {least}{full}, of it ${bound['input']} for input{hold}")
    if waited := decision.get("waited"):
        lines.append(f"waited: {waited:.1f} s for money or its turn, before this was decided")
    return lines


def _budgets(found: Row) -> Any:
    decided = found.get("decided") or {}
    table = tables._table("Budgets that are for it")  # noqa: SLF001 — our own manner of tables
    for name in ("", "budget", "window"):
        table.add_column(name)
    for name in ("limit", "spent", "left", "reserved"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("stage", "held back", "next", "then", "mode"):
        table.add_column(name)
    for budget in found["budgets"]:
        for window in budget["windows"] if budget["matches"] else ():
            decides = (window["budget"], window["kind"]) == (decided.get("budget"), decided.get("window"))
            table.add_row(
                "→" if decides else "", budget["budget"], window["kind"], *_figures(window), budget["enforcement"]
            )
    return table


def _figures(window: Row) -> Sequence[str]:
    was = window.get("then")
    then = f"{was['stage'] or '?'}, {tables.dollars(was['spent'])} spent" if was and was["spent"] else ""
    if window.get("ended"):
        return (tables.dollars(was["limit"]) if was else "", "", "", "", "ended", "", "", then)
    money = [tables.dollars(window[name]) for name in ("limit", "spent", "left", "reserved")]
    waits = tables.held_back(window.get("pacedBy"), window.get("pacedUSDPerHour"), window.get("queued"))
    return (*money, window["stage"], waits, window["next"], then)
