"""Debian's Chromium, driven by Playwright."""

import contextlib

from harness.programs import CHROMIUM, program

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
"""Chromium as root, and without calls of its own to anywhere (https://peter.sh/experiments/chromium-command-line-switches/)."""


@contextlib.contextmanager
def chromium():
    """A browser for as long as the block lasts; without one tests are skipped, and fail where CI=true.

    Playwright's loop runs in this thread until then, and no other can be run beside it.
    """
    path = program(*CHROMIUM, package="chromium")
    from playwright.sync_api import sync_playwright  # a second that few tests need

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=[*QUIET, "--disable-component-update"])
        try:
            yield running
        finally:
            running.close()
