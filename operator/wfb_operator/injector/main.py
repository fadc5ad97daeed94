"""The injector's process: arguments, TLS whose files may change, and one line of JSON when it is ready."""

import argparse
import asyncio
import json
import logging
import os
import signal
import ssl
import sys
import time

from aiohttp import web

from wfb_operator.certificates.serving import ServingCertificate
from wfb_operator.injector.events import EventWriter
from wfb_operator.injector.namespaces import NamespaceError, Namespaces, api_client
from wfb_operator.injector.settings import SettingsError, read_settings
from wfb_operator.injector.webhook import Webhook

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10.0
LOOK_SECONDS = 10.0


class StartError(Exception):
    """Why the injector does not start; one line."""


def main(arguments: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT; exits 2 with one line on stderr where it cannot start."""
    parser = argparse.ArgumentParser("wfb-injector", description="The webhook that gives pods the sidecar.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--certificate", required=True, metavar="DIR", help="holds tls.crt and tls.key")
    parser.add_argument("--settings", required=True, metavar="FILE", help="YAML: image, version, ledgerURL and more")
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the pod's service account")
    options = parser.parse_args(arguments)
    host, colon, port = options.listen.rpartition(":")
    if not colon or not host or not port.isdigit():
        parser.error(f"--listen: {options.listen!r} is not an address: write host:port, such as 0.0.0.0:9443")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(options, host, int(port)))
    except StartError as error:
        sys.stderr.write(f"wfb-injector: {error}\n")
        sys.exit(2)


async def _serve(options: argparse.Namespace, host: str, port: int) -> None:
    try:
        settings = read_settings(options.settings)
        certificate = ServingCertificate(options.certificate)
        api = api_client(options.kubeconfig)
    except (SettingsError, NamespaceError) as error:
        raise StartError(str(error)) from error
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"--certificate {options.certificate}: tls.crt and tls.key cannot be used: {error}") from error
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    events = EventWriter(api)
    webhook = Webhook(settings, Namespaces(api, time.monotonic), events)
    runner = web.AppRunner(webhook.application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=certificate.context)
    try:
        await site.start()
    except OSError as error:
        raise StartError(f"--listen {options.listen}: {error.strerror or error}: choose another address") from error
    at = runner.addresses[0]
    sys.stdout.write(json.dumps({"url": f"https://{at[0]}:{at[1]}", "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    watching = [asyncio.create_task(certificate.watch()), asyncio.create_task(_follow(options.settings, webhook))]
    await stopping.wait()
    for task in watching:
        task.cancel()
    await site.stop()
    await runner.cleanup()
    await events.finish()


async def _follow(path: str, webhook: Webhook) -> None:
    """Use the settings as they are now: the ledger's roots are among them, and change when they are renewed."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            webhook.settings = read_settings(path)
        except SettingsError as error:
            log.warning("the changed settings cannot be used, the former count on: %s", error)


if __name__ == "__main__":
    main()
