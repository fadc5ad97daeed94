"""The controller's process: arguments, Kopf's watches, the loop beside them, and one line of JSON when it has begun."""

import argparse
import asyncio
import datetime
import importlib.metadata
import json
import logging
import os
import signal
import socket
import ssl
import sys
import time

import kopf

from wfb_core.budget import ENFORCE, REPORT
from wfb_core.price import PriceBook
from wfb_operator.controller.certificate_keeper import CertificateKeeper
from wfb_operator.controller.cluster import Cluster, ClusterError
from wfb_operator.controller.health import serve
from wfb_operator.controller.ladders import Ladders
from wfb_operator.controller.ledger_client import LedgerAwayError, LedgerClient, LedgerRefusedError
from wfb_operator.controller.metrics import Metrics
from wfb_operator.controller.notices import Notices
from wfb_operator.controller.reconcile import Reconciler
from wfb_operator.controller.watches import registry
from wfb_operator.controller.world import World
from wfb_operator.notify.egress import Egress
from wfb_operator.prices.compile import compile_snapshot

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
ROOTS_SECONDS = 60.0


class _BlindError(Exception):
    """Nothing is seen of the cluster any more."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits 2 where it is wrong."""
    parser = argparse.ArgumentParser("wfb-controller", description="Reconciles workflow budgets with the ledger.")
    parser.add_argument("--ledger-url", required=True, metavar="URL")
    parser.add_argument("--ledger-ca", metavar="FILE", help="roots that the ledger's certificate is verified with")
    parser.add_argument(
        "--ledger-secret", metavar="NAMESPACE:NAME", help="a Secret whose ca.crt is trusted instead, read now and then"
    )
    parser.add_argument(
        "--certificates", metavar="NAMESPACE", help="make and renew the certificates of ledger and injector there"
    )
    parser.add_argument("--token-file", required=True, metavar="FILE", help="the bearer token for the ledger")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the pod's service account")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="for /healthz and /metrics")
    parser.add_argument(
        "--notify-allow", metavar="HOST", action="append", default=[], help="a host that notices may go to beside https"
    )
    parser.add_argument("--sidecar-version", metavar="VERSION", help="of the sidecars that new pods get")
    parser.add_argument(
        "--enforcement",
        choices=(ENFORCE, REPORT),
        default=ENFORCE,
        help="Report lets every call through whatever the budgets say, and records what would have been refused",
    )
    parsed = parser.parse_args(arguments)
    host, colon, port = parsed.listen.rpartition(":")
    if not colon or not host or not port.isdigit():
        parser.error(f"--listen: {parsed.listen!r} is not an address: write host:port, such as 0.0.0.0:8080")
    if parsed.ledger_secret and not all(parsed.ledger_secret.partition(":")[::2]):
        parser.error(f"--ledger-secret: {parsed.ledger_secret!r} is not NAMESPACE:NAME")
    try:
        parsed.egress = Egress.allowing(parsed.notify_allow)
    except ValueError as error:
        parser.error(f"--notify-allow: {error}")
    parsed.host, parsed.port = host, int(port)
    parsed.sidecar_version = parsed.sidecar_version or importlib.metadata.version("workflow-budget-operator")
    return parsed


def main(arguments: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT; exits 2 with one line on stderr where it cannot start."""
    options = parse_arguments(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("kopf", "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if options.kubeconfig:
        os.environ["KUBECONFIG"] = options.kubeconfig  # Kopf logs in by the official client, which reads it
    # Kopf names itself by the user otherwise, and a container's user has no name.
    os.environ.setdefault("POD_ID", socket.gethostname())
    try:
        asyncio.run(_serve(options))
    except (ClusterError, OSError) as error:
        sys.stderr.write(f"wfb-controller: {error}\n")
        sys.exit(2)
    except _BlindError as error:
        sys.stderr.write(f"wfb-controller: {error}\n")
        sys.exit(1)


async def _serve(options: argparse.Namespace) -> None:
    metrics, world, ladders = Metrics(time.time()), World(), Ladders()
    cluster = Cluster(options.kubeconfig)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner, url = await serve(metrics, options.host, options.port)
    try:
        async with LedgerClient(options.ledger_url, options.token_file, options.ledger_ca) as ledger:
            reconciler = Reconciler(
                world,
                cluster,
                ledger,
                metrics,
                version=options.sidecar_version,
                ladders=ladders,
                only_report=options.enforcement == REPORT,
            )
            watching = asyncio.create_task(_watch(world, stopping, in_cluster=not options.kubeconfig), name="watches")
            home = (options.ledger_secret or "").partition(":")[0]
            notices = Notices(world, cluster, ledger, metrics, options.egress, home)
            work = [reconciler.run(), notices.run(), _publish_prices(ledger, ladders)]
            if options.certificates:
                work.append(CertificateKeeper(cluster, options.certificates, _utc).run())
            if options.ledger_secret:
                work.append(_follow_roots(ledger, cluster, *options.ledger_secret.split(":", 1)))
            tasks = [asyncio.create_task(one) for one in work]
            sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
            sys.stdout.flush()
            stopped = asyncio.create_task(stopping.wait())
            # A watch that ends by itself leaves a blind controller: the process ends with it, and is started anew.
            await asyncio.wait([stopped, watching], return_when=asyncio.FIRST_COMPLETED)
            blind = not stopping.is_set()
            stopping.set()
            for task in tasks:
                task.cancel()
            ended, *_ = await asyncio.gather(watching, *tasks, return_exceptions=True)
            if blind:
                why = (
                    f"{type(ended).__name__}: {ended}" if isinstance(ended, BaseException) else "the log above says why"
                )
                raise _BlindError(f"the watches ended by themselves: {why}")
    finally:
        await runner.cleanup()


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def _follow_roots(ledger: LedgerClient, cluster: Cluster, namespace: str, name: str) -> None:
    """Trust what the Secret says, now and whenever it changes."""
    known = b""
    while True:
        try:
            data = await asyncio.to_thread(cluster.secret, namespace, name) or {}
            roots = data.get("ca.crt", b"")
            if roots and roots != known:
                ledger.trust(roots)
                known = roots
        except (ClusterError, ValueError, ssl.SSLError) as error:
            log.warning("the roots of %s:%s are looked at again: %s", namespace, name, error)
        await asyncio.sleep(ROOTS_SECONDS if known else AGAIN_SECONDS)


async def _watch(world: World, stopping: asyncio.Event, *, in_cluster: bool) -> None:
    await kopf.operator(
        registry=registry(world, in_cluster=in_cluster), clusterwide=True, standalone=True, stop_flag=stopping
    )


async def _publish_prices(ledger: LedgerClient, ladders: Ladders) -> None:
    """Give the ledger, and whoever looks at ladders, the prices that this version knows; the same snapshot twice changes nothing."""
    # Named by the data's version and not by a time: a restart publishes the very same bytes.
    snapshot = await asyncio.to_thread(compile_snapshot, f"genai-prices {importlib.metadata.version('genai-prices')}")
    ladders.prices = await asyncio.to_thread(PriceBook.from_snapshot, snapshot.data)
    while True:
        try:
            sha256 = await ledger.put_prices(snapshot.data)
        except (LedgerAwayError, LedgerRefusedError) as error:
            log.warning("prices are not published yet: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            log.info("prices %s are in force", sha256[:12])
            return


if __name__ == "__main__":
    main()
