"""The stand for the tests of SDKs: begun once, and each rung tried once with every SDK."""

import os

import pytest

from harness.certificates import make_certificates
from harness.loop_thread import LoopThread
from sdks import build
from sdks.rungs import RUNGS
from sdks.stand import Stand
from wfb_core.grants import timing
from wfb_sidecar import till


def _environments():
    """Builds what is missing; without an environment the tests are skipped, and fail where CI=true."""
    for name in build.NAMES:
        try:
            build.build(name)
        except build.NotHereError as why:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI needs every SDK: {why}")
            pytest.skip(f"not all SDKs are here: {why}")


@pytest.fixture(scope="session")
def tried(tmp_path_factory):
    """Tries a rung with every SDK, once: of its name what was seen, by the row's name."""
    _environments()
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(till, "OUTBOX_SECONDS", 0.05)  # books follow at once
        patch.setattr(till, "TIMEOUT", 20.0)  # a busy machine is no ledger away
        patch.setattr(timing, "TIMEOUT", 20.0)
        patch.setattr(timing, "SILENT", 60.0)
        for name in list(os.environ):
            if name.lower() in {"http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir"}:
                patch.delenv(name)
        loop = LoopThread()
        stand = Stand(loop, tmp_path_factory.mktemp("sdks"), make_certificates(tmp_path_factory.mktemp("certificates")))
        try:
            stand.set_up()

            def ask(rung):
                """What was seen on one rung."""
                if rung not in found:
                    found[rung] = RUNGS[rung](stand)
                return found[rung]

            yield ask
        finally:
            stand.close()
            loop.close()
