"""The ledger's process: arguments, the lock, signals, and one line of JSON when it is ready."""

import argparse
import asyncio
import json
import logging
import os
import re
import signal
import ssl
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from aiohttp import web

from wfb_core.fields import BudgetErrors
from wfb_operator.certificates.serving import ServingCertificate
from wfb_operator.ledger.cluster import ClusterAwayError
from wfb_operator.ledger.http import LedgerHttp
from wfb_operator.ledger.identities import token_sha256
from wfb_operator.ledger.lock import DirectoryLock, InUseError
from wfb_operator.ledger.metrics import MOST
from wfb_operator.ledger.metrics_access import MetricsAccess
from wfb_operator.ledger.otlp_push import OtlpPush
from wfb_operator.ledger.people.access import Access
from wfb_operator.ledger.people.listener import PeopleListener
from wfb_operator.ledger.people.routes import PeopleHttp
from wfb_operator.ledger.readings import Readings
from wfb_operator.ledger.reviews import Accounts, TokenReviews
from wfb_operator.ledger.service import LedgerService
from wfb_operator.ledger.store.port import StoreError, StoreRefusedError
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.ledger.store.tiers import Retention

if TYPE_CHECKING:  # it takes a second to import, and only clusters need it
    from wfb_operator.ledger.kubernetes_api import KubernetesApi

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5.0
MOST_MOST = 100_000
"""The most values of one label that may be asked for."""


class StartError(Exception):
    """Why the ledger does not start; one line."""


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line on stderr, and exit 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits 2 with one line on stderr where it is wrong."""
    parser = _Arguments(prog="wfb-ledger", description="The ledger of workflow budgets, over HTTP, on SQLite.")
    parser.add_argument("--state", required=True, metavar="DIR", help="where the database lives; made if missing")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument(
        "--admin-token-file", metavar="FILE", help="holds the token that may put budgets and identities"
    )
    parser.add_argument(
        "--reviews",
        metavar="incluster|KUBECONFIG",
        help="ask this cluster whose a service account's token is; the pod's own account, or a kubeconfig's path",
    )
    for role in ("controller", "reader"):
        parser.add_argument(
            f"--{role}-account",
            action="append",
            default=[],
            metavar="NAMESPACE:NAME",
            help=f"a service account with the role {role}; may be given more than once",
        )
    parser.add_argument(
        "--tls", metavar="DIR", help="serve HTTPS with tls.crt and tls.key of this folder, read anew when they change"
    )
    parser.add_argument(
        "--people",
        metavar="HOST:PORT",
        help="answer people there as the aggregated API spend.aifinops.dev; needs --reviews and --tls",
    )
    parser.add_argument(
        "--restored", action="store_true", help="the state was restored from a backup that the ledger cannot tell"
    )
    kept = Retention()
    for name, what, default in (
        ("keep-minutes", "usage by the minute is kept", kept.minutes),
        ("keep-hours", "usage by the hour is kept", kept.hours),
        ("keep-runs", "usage by run is kept", kept.runs),
        ("keep", "usage by the day, and everything else, is kept", kept.days),
    ):
        parser.add_argument(
            f"--{name}-days", type=float, default=None, metavar="N", help=f"how long {what} (default: {default:g})"
        )
    parser.add_argument(
        "--metrics-most",
        action="append",
        default=[],
        metavar="LABEL=N",
        help=f"how many values a metric's label may have before the rest count as other: {', '.join(MOST)};"
        " may be given more than once",
    )
    parser.add_argument(
        "--metrics-token-file", metavar="FILE", help="whoever reads /metrics must have the bearer token in it"
    )
    parser.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help="send GenAI metrics to this OpenTelemetry collector by OTLP over HTTP, such as http://collector:4318",
    )
    parser.add_argument(
        "--otlp-headers-file",
        metavar="FILE",
        help="headers to send with them, one Name: value a line, such as credentials; read anew at each export",
    )
    parser.add_argument("--otlp-seconds", type=float, default=60.0, metavar="N", help="between two of them")
    parsed = parser.parse_args(arguments)
    parsed.metrics_most = dict(_most(parser, text) for text in parsed.metrics_most)
    parsed.host, parsed.port = _address(parser, "--listen", parsed.listen)
    if parsed.people:
        parsed.people = _address(parser, "--people", parsed.people)
        if not (parsed.reviews and parsed.tls):
            parser.error("--people needs --reviews, which says who may read, and --tls, which the API server verifies")
    if not parsed.admin_token_file and not parsed.reviews:
        parser.error("nobody could speak to this ledger: give --admin-token-file, --reviews, or both")
    for account in parsed.controller_account + parsed.reader_account:
        if not all(account.partition(":")[::2]):
            parser.error(f"--controller-account, --reader-account: {account!r} is not NAMESPACE:NAME")
    try:
        parsed.retention = _retention(parsed)
    except ValueError as error:
        parser.error(str(error))
    if parsed.otlp_endpoint and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", parsed.otlp_endpoint):
        parser.error(
            f"--otlp-endpoint: {parsed.otlp_endpoint[:80]!r} is not an address: write http://collector:4318, without /v1/metrics"
        )
    if parsed.otlp_endpoint and "@" in parsed.otlp_endpoint:
        parser.error("--otlp-endpoint holds credentials, which everybody could read: put them into --otlp-headers-file")
    if parsed.otlp_headers_file and not parsed.otlp_endpoint:
        parser.error("--otlp-headers-file is for a collector: give --otlp-endpoint as well")
    if not 1 <= parsed.otlp_seconds <= 3600:
        parser.error(f"--otlp-seconds: {parsed.otlp_seconds:g} is not from 1 to 3600")
    return parsed


def _retention(parsed: argparse.Namespace) -> Retention:
    """How long usage is kept; what is not given follows what is. Raises ValueError."""
    default = Retention()
    given = {
        "keep-days": parsed.keep_days,
        "keep-hours-days": parsed.keep_hours_days,
        "keep-minutes-days": parsed.keep_minutes_days,
        "keep-runs-days": parsed.keep_runs_days,
    }
    for name, days in given.items():
        if days is not None and not 1 <= days <= 36_500:
            raise ValueError(f"--{name}: {days:g} is not from 1 to 36500")
    days = default.days if parsed.keep_days is None else parsed.keep_days
    hours = min(default.hours, days) if parsed.keep_hours_days is None else parsed.keep_hours_days
    minutes = min(default.minutes, hours) if parsed.keep_minutes_days is None else parsed.keep_minutes_days
    runs = min(default.runs, days) if parsed.keep_runs_days is None else parsed.keep_runs_days
    for fine, coarse, less, more in (
        ("keep-minutes-days", "keep-hours-days", minutes, hours),
        ("keep-hours-days", "keep-days", hours, days),
        ("keep-runs-days", "keep-days", runs, days),
    ):
        if less > more:
            raise ValueError(f"--{fine}: {less:g} is longer than --{coarse} {more:g}, which is to keep what it forgets")
    return Retention(minutes, hours, runs, days)


def _most(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    label, _, number = text.partition("=")
    if label not in MOST or not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= MOST_MOST:
        parser.error(
            f"--metrics-most: {text[:80]!r} is not LABEL=N: a label is one of {', '.join(MOST)}, N from 1 to {MOST_MOST}"
        )
    return label, int(number)


def _address(parser: argparse.ArgumentParser, option: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        parser.error(f"{option}: {text!r} is not an address: write host:port, such as 127.0.0.1:8440")
    return host.removeprefix("[").removesuffix("]"), int(port)


def main(arguments: list[str] | None = None) -> None:
    """Run the ledger until SIGTERM or SIGINT; exits 2 with one line on stderr where it cannot start."""
    options = parse_arguments(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(options))
    except (StartError, StoreRefusedError, InUseError) as error:
        sys.stderr.write(f"wfb-ledger: {error}\n")
        sys.exit(2)


def _admin_token(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
    except (OSError, ValueError) as error:
        raise StartError(f"--admin-token-file {path} cannot be read: {error}") from error
    if not token or any(character.isspace() for character in token):
        raise StartError(f"--admin-token-file {path} holds no token: write one line of ASCII without spaces")
    return token


def _cluster(options: argparse.Namespace) -> "KubernetesApi | None":
    if not options.reviews:
        return None
    from wfb_operator.ledger.kubernetes_api import KubernetesApi  # noqa: PLC0415

    try:
        return KubernetesApi(None if options.reviews == "incluster" else options.reviews)
    except ClusterAwayError as error:
        raise StartError(f"--reviews {options.reviews}: {error}") from error


def _reviews(options: argparse.Namespace, api: "KubernetesApi | None") -> TokenReviews | None:
    if api is None:
        return None
    accounts = Accounts(frozenset(options.controller_account), frozenset(options.reader_account))
    return TokenReviews(api, accounts, wall=time.time, monotonic=time.monotonic)


async def _people(
    options: argparse.Namespace, cluster: "KubernetesApi | None", readings: Readings
) -> PeopleListener | None:
    """Begins to answer people, where that is asked for."""
    if cluster is None or not options.people:
        return None
    listener = PeopleListener(cluster.front_proxy, options.tls, *options.people)
    people = PeopleHttp(readings, Access(cluster, time.monotonic), listener.front_proxy)
    await listener.start(people.application())
    return listener


def _certificate(directory: str | None) -> ServingCertificate | None:
    if directory is None:
        return None
    try:
        return ServingCertificate(directory)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"--tls {directory}: tls.crt and tls.key cannot be used: {error}") from error


def _metrics_access(path: str | None) -> MetricsAccess | None:
    try:
        return None if path is None else MetricsAccess(path)
    except (OSError, ValueError) as error:
        raise StartError(f"--metrics-token-file {path} cannot be used: {error}") from error


def _otlp_push(options: argparse.Namespace, service: LedgerService) -> OtlpPush | None:
    if not options.otlp_endpoint:
        return None
    headers = options.otlp_headers_file or ""
    try:
        return OtlpPush(options.otlp_endpoint, options.otlp_seconds, service.metrics, service.clock.now, headers)
    except (OSError, ValueError) as error:
        raise StartError(f"--otlp-headers-file {headers} cannot be used: {error}") from error


def _locked(directory: str) -> DirectoryLock:
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        return DirectoryLock(directory)
    except OSError as error:
        raise StartError(
            f"--state {directory} cannot be written ({error.strerror}): give the ledger a directory it may write"
        ) from error


async def _serve(options: argparse.Namespace) -> None:
    admin = token_sha256(_admin_token(options.admin_token_file)) if options.admin_token_file else ""
    cluster = _cluster(options)
    reviews = _reviews(options, cluster)
    certificate = _certificate(options.tls)
    metrics_access = _metrics_access(options.metrics_token_file)
    lock = _locked(options.state)
    store = SqliteStore.open(options.state)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = LedgerService(store, retention=options.retention, metrics_most=options.metrics_most)
    push = _otlp_push(options, service)
    try:
        await service.start(restored=options.restored)
    except (StoreError, BudgetErrors) as error:
        first = str(error).splitlines()[0]
        raise StartError(
            f"what {options.state} holds cannot be loaded ({first}): start the version that wrote it, or put a backup in place"
        ) from error
    runner = web.AppRunner(
        LedgerHttp(service, store, admin, reviews, metrics_access).application(),
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        context = certificate.context if certificate else None
        site = web.TCPSite(runner, options.host, options.port, ssl_context=context)
        await site.start()
    except OSError as error:
        await service.stop()
        await store.close()
        raise StartError(f"--listen {options.listen}: {error.strerror or error}: choose another address") from error
    host, port = runner.addresses[0][:2]
    scheme = "https" if certificate else "http"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    log.info("listening on %s, state in %s", url, options.state)
    beside = [asyncio.create_task(certificate.watch())] if certificate else []
    if push:
        beside.append(asyncio.create_task(push.run()))
    people = await _people(options, cluster, Readings(service, store))
    await stopping.wait()
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    if people:
        await people.stop()
    await site.stop()  # no new connections; what was accepted is finished
    await service.stop()
    await runner.cleanup()
    try:
        await store.close()
    except StoreError as error:
        log.warning("closing the store: %s", error)
    lock.release()


if __name__ == "__main__":
    main()
