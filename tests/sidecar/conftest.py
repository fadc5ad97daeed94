"""What the sidecar's tests share: one loop for all servers, one set of certificates, a bench for each module or test."""

import os
import ssl

import httpx2
import pytest

from harness.certificates import make_certificates
from harness.loop_thread import LoopThread
from harness.stack import Bench
from wfb_sidecar import till


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Servers good and bad, and what to trust."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def loop_thread():
    """The loop in which provider, ledger and sidecars run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(till, "OUTBOX_SECONDS", 0.05)  # books follow at once
    for name in list(os.environ):
        if name.lower() in {"http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir"}:
            patch.delenv(name)
    thread = LoopThread()
    yield thread
    thread.close()
    patch.undo()


@pytest.fixture
def make_bench(loop_thread, certificates, tmp_path):
    """Opens benches that end with the test; fields of the budget's spec as arguments."""
    opened = []

    def make(*, tls="good", **spec):
        """One bench with one budget."""
        bench = Bench(loop_thread, tmp_path / f"bench-{len(opened)}", certificates, tls=tls)
        (tmp_path / f"bench-{len(opened)}").mkdir()
        opened.append(bench)
        return bench.open(**spec)

    yield make
    for bench in opened:
        bench.close()


@pytest.fixture(scope="module")
def module_bench(loop_thread, certificates, tmp_path_factory):
    """A bench with plenty of money for a module's tests."""
    bench = Bench(loop_thread, tmp_path_factory.mktemp("bench"), certificates).open(usd="1000.00")
    yield bench
    bench.close()


@pytest.fixture
def client():
    """Makes HTTP clients that go through a sidecar's explicit proxy and trust its bundle."""
    opened = []

    def make(sidecar, *, proxy=True):
        """One client; without the proxy for base-url mode."""
        trust = ssl.create_default_context(cafile=sidecar.bundle)
        made = httpx2.Client(proxy=sidecar.proxy if proxy else None, verify=trust, timeout=60)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()
