"""``wfb ui``: the books as a page in a browser, of this machine's runs or of a cluster, with the user's own rights."""

import argparse
import asyncio
import signal
import threading
import webbrowser
from collections.abc import Mapping
from typing import Any

from wfb_operator.cli import source
from wfb_operator.cli.books import LedgerBooks, check_recorded, visiting
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.state import LedgerError
from wfb_operator.page.server import PageServer, Read


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
    source.add_flags(parser)
    add("--port", type=int, default=0, help="of the loopback (default: a free one)")
    add("--no-browser", action="store_true", help="print the address and open nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C; raises UsageError, StateError, StartError and LedgerError."""
    in_cluster = source.of_cluster(args)
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port} is not a port: give 1 to 65535, or leave it out")
    if in_cluster:
        books = source.cluster(args)
        books.get("summaries", {"since": str(2**40)})  # a mistake is said here, and not on a page
        return _serve(books.ask, books.scope, args)
    state = source.state_of(args)
    check_recorded(state)
    with visiting(state) as ledger:
        return _serve(_locally(LedgerBooks(ledger)), "runs on this machine", args)


def _locally(books: LedgerBooks) -> Read:
    one_at_a_time = threading.Lock()  # the ledger is reached over one connection

    def read(resource: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        try:
            with one_at_a_time:
                return 200, books.get(resource, query)
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
