"""The sidecar's process: reads its configuration, opens its doors, and on SIGTERM lets calls in flight end."""

import argparse
import asyncio
import contextlib
import datetime
import gc
import json
import logging
import os
import secrets
import signal
import sys
import traceback
from dataclasses import replace
from typing import Any

import uvloop
from prometheus_client import Counter

from wfb_core.grants import Wallet
from wfb_core.price import PriceBook
from wfb_core.windows import is_shadow
from wfb_core.wire import RunFigures, UsageRow
from wfb_sidecar.authority import open_authority
from wfb_sidecar.body_gate import BodyGate
from wfb_sidecar.calls import Calls
from wfb_sidecar.certificates import Certificates
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.config import Config, ConfigError, config_from_environment, parse_address, parse_proxy, read_config
from wfb_sidecar.door import Door
from wfb_sidecar.health import Health
from wfb_sidecar.heap import Heap
from wfb_sidecar.house import House
from wfb_sidecar.ledger_link import LedgerLink
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.outbox import Outbox
from wfb_sidecar.providers import constraint_names, provider_hosts
from wfb_sidecar.relay import make_options
from wfb_sidecar.scope import Scope
from wfb_sidecar.scope_watch import ScopeWatch
from wfb_sidecar.till import Till
from wfb_sidecar.trust import system_roots, write_java_truststore, write_trust
from wfb_sidecar.upstream_tls import UpstreamTls
from wfb_sidecar.wallet_file import WalletFile, WalletFileDamagedError

log = logging.getLogger("wfb_sidecar")

LAST_REPORT_SECONDS = 5.0


class DiscreetFormatter(logging.Formatter):
    """Shows where an exception came from and its type, never its text: that may quote a prompt or a key."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 — logging's name
        """The frames and the type."""
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "")


class Sidecar:
    """All the parts of one running sidecar."""

    def __init__(self, config: Config) -> None:
        """Opens the files of `state_dir`; raises OSError, ValueError, WalletFileDamagedError."""
        os.makedirs(config.state_dir, mode=0o700, exist_ok=True)
        self.config = config
        self.clock = LedgerClock()
        self.metrics = Metrics()
        self.hosts = provider_hosts(config)
        extra = _extra_roots(config)
        authority = open_authority(config.state_dir, constraint_names(self.hosts), datetime.datetime.now(datetime.UTC))
        self.lone_root, self.bundle = self._write_trust(authority.root_pem, extra)
        self.link = LedgerLink(config.ledger_url, config.token_file, config.ledger_ca)
        self.outbox = Outbox(os.path.join(config.state_dir, "journal"))
        self.till = Till(self._open_wallet(), self.clock, self.link, self.outbox)
        self.calls = Calls(self.clock, self.till, self.metrics, config.holder_prefix)
        self.till.on_figures = self.calls.loops.hear
        self.watch = ScopeWatch(self.link, self._on_scope, self.clock.hear, self.clock.now)
        self.house = House(
            options=make_options(),
            hosts=self.hosts,
            calls=self.calls,
            certificates=Certificates(authority),
            upstream_tls=UpstreamTls(system_roots() + b"\n" + extra),
            gate=BodyGate(),
            heap=Heap(),
            metrics=self.metrics,
            connect_to={
                parse_address(a, "connect_to"): parse_address(b, "connect_to") for a, b in config.connect_to.items()
            },
            upstream_proxy=parse_proxy(config.upstream_proxy, "upstream_proxy") if config.upstream_proxy else None,
        )
        self.door = Door(self.house)
        self.health = Health(self.metrics, self._missing, self._refresh)
        self._watching: asyncio.Task[None] | None = None
        self._told: dict[Counter, int] = {}

    def _write_trust(self, root_pem: bytes, extra: bytes) -> tuple[str, str]:
        """The files that other containers trust the sidecar by."""
        if self.config.trust_dir is None:
            return write_trust(self.config.state_dir, root_pem, extra)
        lone, bundle = write_trust(self.config.trust_dir, root_pem, extra)
        write_java_truststore(self.config.trust_dir, bundle)
        return lone, bundle

    def _open_wallet(self) -> Wallet:
        file = WalletFile(os.path.join(self.config.state_dir, "wallet"))
        record = file.load()
        if record is None:
            return Wallet(f"{self.config.holder_prefix}{secrets.token_hex(8)}", file.save)
        held = max((h for w, (_, _, h) in record.purses.items() if not is_shadow(w)), default=0)
        if held:
            # Calls of the killed process: what they cost is not known, and counts at their holds.
            self.outbox.add(
                UsageRow(
                    minute=int(self.clock.now() // 60),
                    provider="",
                    model="",
                    served_model="",
                    outcome="interrupted",
                    estimated=True,
                    calls=1,
                    refused=0,
                    input_tokens=0,
                    cache_read_tokens=0,
                    cache_write_tokens=0,
                    output_tokens=0,
                    reasoning_tokens=0,
                    nanos=held,
                    list_nanos=held,
                )
            )
            record = replace(record, purses={w: (c, u + h, 0) for w, (c, u, h) in record.purses.items()})
            file.save(record)  # or the next kill would book the same calls once more
        return Wallet.resume(record, file.save)

    async def start(self) -> dict[str, object]:
        """Opens the doors and begins to report; returns what is said when ready. Raises OSError."""
        try:
            if self.config.transparent:
                await self.door.listen(self.config.transparent, "transparent")
                host, port = parse_address(self.config.transparent, "transparent")
                if host == "127.0.0.1" and port:  # a redirected IPv6 connection arrives at ::1
                    with contextlib.suppress(OSError):  # where there is no IPv6, none is redirected
                        await self.door.listen(f"[::1]:{port}", "transparent")
            ready = {
                "pid": os.getpid(),
                "proxy": await self.door.listen(self.config.proxy, "proxy"),
                "base_url": await self.door.listen(self.config.base_url, "base-url"),
                "health": await self.health.listen(self.config.health),
                "ca": self.lone_root,
                "bundle": self.bundle,
            }
        except OSError:
            self.door.shut()
            await self.health.close()
            self.link.close()
            raise
        self.till.start()
        self._watching = asyncio.get_running_loop().create_task(self.watch.run(), name="scope")
        return ready

    async def stop(self) -> None:
        """Takes nothing new, lets calls in flight end within the grace, and tells the ledger the last."""
        self.door.shut()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.config.grace_seconds
        while self.calls.settling.in_flight and loop.time() < until:  # noqa: ASYNC110 — once in a life: no event for each call
            await asyncio.sleep(0.05)
        self.calls.settling.abandon()
        await self.calls.holding.shadows.end()
        if self._watching:
            self._watching.cancel()
        told = await self.till.stop(LAST_REPORT_SECONDS)
        await self.health.close()
        self.link.close()
        if not told:
            log.warning("the last report was not answered: the wallet's file and journal keep it")

    async def run(self) -> int:
        """Serves until SIGTERM or SIGINT; returns the exit status."""
        stop = asyncio.Event()
        for s in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(s, stop.set)
        ready = await self.start()
        # Collections walk all of mitmproxy's objects; those of start-up never die.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 50, 50)
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()
        await self.stop()
        return 0

    def _on_scope(
        self, scope: Scope, prices: PriceBook, rooms: dict[str, tuple[int, int]], loops: RunFigures | None
    ) -> None:
        self.calls.loops.hear(loops)
        self.calls.terms.hear(scope, prices)
        self.till.scope, self.till.scope_version = scope, scope.version
        for window, (left, room) in rooms.items():
            self.till.wallet.hear(window, left, room)

    def _missing(self) -> str | None:
        return None if self.calls.terms.scope is not None else "the ledger has not yet said which budgets apply"

    def _refresh(self) -> None:
        self.metrics.in_flight.set(len(self.till.wallet.holds))
        self.metrics.waiting.set(len(self.till.wallet.waiting))
        self.metrics.ledger_silent.set(self.till.wallet.silent(self.clock.now()))
        told = {
            self.metrics.reports: self.till.reports,
            self.metrics.report_errors: self.till.report_errors,
            self.metrics.report_flagged: self.till.flagged,
            self.metrics.decisions_dropped: self.outbox.dropped_decisions,
            self.metrics.journal_errors: self.outbox.write_errors,
        }
        for counter, number in told.items():
            counter.inc(number - self._told.get(counter, 0))
        self._told = told


def _extra_roots(config: Config) -> bytes:
    """Roots beside the system's, for what leaves the sidecar and for what trusts it: a company's own, as a rule."""
    extra = b""
    if config.upstream_ca:
        with open(config.upstream_ca, "rb") as f:
            extra = f.read()
    if config.extra_ca and os.path.isfile(config.extra_ca):
        with open(config.extra_ca, "rb") as f:
            extra += b"\n" + f.read()
    return extra


def main() -> None:
    """Entry point of `wfb-sidecar`; exit status 2 for a configuration or state that cannot be used."""
    parser = argparse.ArgumentParser("wfb-sidecar", description="The egress sidecar of the Workflow Budget Operator.")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--config", help="JSON file: ledger_url, token_file, state_dir and more")
    given.add_argument("--config-env", metavar="NAME", help="the same JSON in an environment variable")
    args = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter("wfb-sidecar: %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("mitmproxy").setLevel(logging.CRITICAL)
    sys.setswitchinterval(0.05)
    try:
        config = read_config(args.config) if args.config else config_from_environment(args.config_env)
    except ConfigError as e:
        sys.exit(_fail(str(e)))
    # mitmproxy makes its tasks eager where asyncio offers it, and uvloop's tasks cannot be.
    asyncio.eager_task_factory = None  # type: ignore[assignment]
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(uvloop.run(_serve(config)))


async def _serve(config: Config) -> int:
    try:
        return await Sidecar(config).run()
    except (OSError, ValueError, WalletFileDamagedError) as e:
        return _fail(str(e))


def _fail(message: str) -> int:
    sys.stderr.write(f"wfb-sidecar: {message}\n")
    return 2


if __name__ == "__main__":
    main()
