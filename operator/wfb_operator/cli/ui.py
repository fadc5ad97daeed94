"""``wfb ui``: the books as a page in a browser, of this machine's runs or of a cluster, with the user's own rights."""

import argparse
import asyncio
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Mapping
from typing import Any

from wfb_operator.cli.books import visiting
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.state import Ledger, LedgerError, State, default_root
from wfb_operator.page.server import PageServer, Read

PATHS = {"summaries": "/v1/summary"}
"""Where the ledger itself has a resource of the page; the others are at ``/v1/NAME``."""


def add_parser(commands: Any) -> None:
    """Adds ``ui`` to the command line."""
    parser = commands.add_parser(
        "ui",
        help="budgets, spend, runs and decisions as a page",
        description=(
            "Serves a page on this machine alone that reads the books and changes nothing: of the runs on this machine,"
            " or of a cluster, through its API server and with your own rights."
        ),
        epilog=(
            "examples:\n"
            "  wfb ui                      what wfb run spent on this machine\n"
            "  kubectl wfb ui -n billing   one namespace of the cluster\n"
            "  kubectl wfb ui -A           all of it, for those who may read all"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-n", "--namespace", help="read a cluster's books of this namespace")
    add("-A", "--all-namespaces", action="store_true", help="read a cluster's books of all namespaces")
    add("--kubeconfig", metavar="FILE", help="as kubectl reads it; $KUBECONFIG where it is left out")
    add("--context", help="a context of the kubeconfig")
    add("--state", metavar="DIR", help="of wfb run (default: $XDG_STATE_HOME/wfb, else ~/.local/state/wfb)")
    add("--port", type=int, default=0, help="of the loopback (default: a free one)")
    add("--no-browser", action="store_true", help="print the address and open nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C; raises UsageError, StateError, StartError and LedgerError."""
    clusterwide = args.namespace or args.all_namespaces or args.kubeconfig or args.context
    if clusterwide and args.state:
        raise UsageError("--state is for runs on this machine: leave it out to read a cluster's books")
    if args.namespace and args.all_namespaces:
        raise UsageError("--namespace and --all-namespaces exclude each other: give one")
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port} is not a port: give 1 to 65535, or leave it out")
    if clusterwide or (_as_plugin() and not args.state):
        from wfb_operator.cli.cluster_books import ClusterBooks  # noqa: PLC0415 — the client takes a second to load

        books = ClusterBooks(args.kubeconfig, args.context, args.namespace, everywhere=args.all_namespaces)
        books.get("summaries", {"since": str(2**40)})  # a mistake is said here, and not on a page
        return _serve(books.ask, books.scope, args)
    state = State(os.path.abspath(args.state or default_root(os.environ)))
    if not os.path.isdir(state.path("ledger")):
        raise UsageError(
            f"nothing was recorded in {state.root} yet: spend something with wfb run, or give -n NAMESPACE for a cluster"
        )
    with visiting(state) as ledger:
        return _serve(_locally(ledger), "runs on this machine", args)


def _as_plugin() -> bool:
    return os.path.basename(sys.argv[0]).startswith("kubectl-wfb")


def _locally(ledger: Ledger) -> Read:
    one_at_a_time = threading.Lock()  # the ledger is reached over one connection

    def read(resource: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        try:
            with one_at_a_time:
                return 200, ledger.get(PATHS.get(resource, f"/v1/{resource}"), **query)
        except LedgerError as error:
            return error.status or 502, {"message": str(error)}

    return read


def _serve(read: Read, scope: str, args: argparse.Namespace) -> int:
    try:
        asyncio.run(_until_stopped(PageServer(read, scope, args.port), open_it=not args.no_browser))
    except OSError as error:
        raise UsageError(
            f"--port {args.port} cannot be listened at ({error.strerror or error}): give another, or none"
        ) from error
    return 0


async def _until_stopped(server: PageServer, *, open_it: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    url = await server.start()
    print(f"the page is at {url}\nit is yours alone: the address holds a secret. Ctrl-C ends it.", flush=True)
    if open_it:
        await asyncio.to_thread(webbrowser.open, url)
    await stopping.wait()
    await server.stop()
