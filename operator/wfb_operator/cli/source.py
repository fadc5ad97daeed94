"""Whose books a command reads: of the runs on this machine, or of a cluster, with the user's own rights."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfb_operator.cli.books import LedgerBooks, check_recorded, visiting
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.state import State, default_root
from wfb_operator.showback.books import Books

if TYPE_CHECKING:
    from wfb_operator.cli.cluster_books import ClusterBooks


@dataclass(frozen=True, slots=True)
class Source:
    """Books that were opened, and how far they reach."""

    books: Books
    scope: str = ""
    """In words, such as ``namespace billing``; empty for the runs on this machine."""
    namespace: str = ""
    """The one namespace that they are kept to; empty for all that there is."""

    def titled(self, title: str) -> str:
        """A title that says whose books it is about."""
        return f"{title}, {self.scope}" if self.scope else title

    def kept_to(self, only: dict[str, str]) -> dict[str, str]:
        """What a report is kept to, with the namespace; raises UsageError where both name another one."""
        named = only.get("namespace", self.namespace)
        if self.namespace and named != self.namespace:
            raise UsageError(
                f"--only namespace={named} is not in these books, which are of {self.scope}: give --namespace {named}, or"
                " --all-namespaces"
            )
        return {**only, "namespace": self.namespace} if self.namespace else only


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds ``--state`` and what says that a cluster is meant."""
    add = parser.add_argument
    add("--state", metavar="DIR", help="of wfb run (default: $XDG_STATE_HOME/wfb, else ~/.local/state/wfb)")
    add("-n", "--namespace", help="read a cluster's books of this namespace (kubectl wfb: the context's own)")
    add("-A", "--all-namespaces", action="store_true", help="read a cluster's books of all namespaces")
    add("--kubeconfig", metavar="FILE", help="as kubectl reads it; $KUBECONFIG where it is left out")
    add("--context", help="a context of the kubeconfig")


def of_cluster(args: argparse.Namespace) -> bool:
    """Whether a cluster is meant: where a flag says so, and for ``kubectl wfb``. Raises UsageError for contradictions."""
    asked = bool(args.namespace or args.all_namespaces or args.kubeconfig or args.context)
    if asked and args.state:
        raise UsageError("--state is for runs on this machine: leave it out to read a cluster's books")
    if args.namespace and args.all_namespaces:
        raise UsageError("--namespace and --all-namespaces exclude each other: give one")
    return asked or (not args.state and os.path.basename(sys.argv[0]).startswith("kubectl-wfb"))


def cluster(args: argparse.Namespace) -> "ClusterBooks":
    """The cluster that is meant; raises UsageError where there is none."""
    from wfb_operator.cli.cluster_books import ClusterBooks  # noqa: PLC0415 — the client takes a second to load

    return ClusterBooks(args.kubeconfig, args.context, args.namespace, everywhere=args.all_namespaces)


def state_of(args: argparse.Namespace) -> State:
    """The state of runs on this machine that is meant."""
    return State(os.path.abspath(args.state or default_root(os.environ)))


@contextlib.contextmanager
def opened(args: argparse.Namespace) -> Iterator[Source]:
    """The books that are meant; raises UsageError, StateError, StartError and LedgerError."""
    if of_cluster(args):
        found = cluster(args)
        yield Source(found, found.scope, found.namespace)
        return
    state = state_of(args)
    check_recorded(state)
    with visiting(state) as ledger:
        yield Source(LedgerBooks(ledger))
