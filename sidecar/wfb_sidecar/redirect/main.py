"""The process of the init container: 0 when the rules are in place and the sidecar listens, else 1 with one line."""

import argparse
import ipaddress
import os
import sys
import time

from wfb_sidecar.redirect.listening import listens
from wfb_sidecar.redirect.rules import Settings, SettingsError
from wfb_sidecar.redirect.tables import RedirectError, install

LOOK_SECONDS = 0.02
"""Between two looks whether the sidecar listens: it takes less than a second to start."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``wfb-redirect``."""
    parser = argparse.ArgumentParser("wfb-redirect", description="Sends a pod's HTTPS to the sidecar.")
    parser.add_argument("--to-port", type=int, required=True, metavar="N", help="where the sidecar listens")
    parser.add_argument("--uid", type=int, required=True, metavar="N", help="the sidecar's user and group")
    parser.add_argument("--port", type=int, action="append", metavar="N", help="what is redirected; 443 if left out")
    parser.add_argument("--exclude-port", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--exclude-cidr", action="append", default=[], metavar="NETWORK")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="how long the sidecar may take to listen"
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings(
            options.to_port,
            options.uid,
            tuple(options.port or (443,)),
            tuple(options.exclude_port),
            tuple(options.exclude_cidr),
            _api_server(),
        )
        done = install(settings)
        if options.wait:
            _await(options.to_port, options.wait)
    except (SettingsError, RedirectError) as error:
        sys.stderr.write(f"wfb-redirect: {error}\n")
        sys.exit(1)
    sys.stdout.write(f"wfb-redirect: HTTPS goes to port {options.to_port}: {', '.join(done)}\n")


def _await(port: int, seconds: float) -> None:
    """Until somebody listens on a port of this network; raises RedirectError with the way out."""
    until = time.monotonic() + seconds
    while not listens(port):
        if time.monotonic() >= until:
            raise RedirectError(
                f"nobody listens on port {port} after {seconds:g} s: see the log of the container wfb-sidecar"
            )
        time.sleep(LOOK_SECONDS)


def _api_server() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    try:
        return str(ipaddress.ip_address(host)) if host else ""
    except ValueError:
        return ""  # a name: the sidecar splices it like any other


if __name__ == "__main__":
    main()
