"""What tests of several folders share: a real API server, begun once and only where a test asks for it."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cluster import api_server as light
from cluster.refusals import NotHereError

# How long an example takes says more of the machine than of the code; speed is measured in bench/.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell lets what runs in its background ignore these, and every process that a test starts would do so too.
for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

TESTS = Path(__file__).parent
ALONE = {TESTS / "core", TESTS / "crds", TESTS / "helm"}
"""Tests of text and arithmetic: nothing that a busy machine could delay."""


def pytest_collection_modifyitems(items):
    """A test of real processes gets a second try, named in the summary; one that needs nothing but itself does not."""
    for item in items:
        if ALONE.isdisjoint(item.path.parents):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def api_server():
    """An API server and its store, and nothing that reconciles; without one tests are skipped, and fail where CI=true."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
                patch.delenv(name)
        try:
            running = light.running()
            api = running.__enter__()
        except NotHereError as why:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI needs a real API server: {why}")
            pytest.skip(f"no API server: {why}")
        yield api
        running.__exit__(None, None, None)
