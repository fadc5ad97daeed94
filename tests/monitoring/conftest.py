"""What the tests of metrics, alerts and dashboard share: Prometheus' programs, and parts with some traffic behind them."""

import os
import ssl

import httpx2
import pytest

from harness.certificates import make_certificates
from harness.loop_thread import LoopThread
from harness.processes import budget
from harness.programs import program
from harness.stack import PREFIX, TOKEN, WORKFLOW, Bench
from harness.until import until
from harness.monitoring_parts import Parts
from wfb_operator.ledger.identities import token_sha256
from wfb_sidecar import till


@pytest.fixture(scope="session")
def promtool():
    """Prometheus' own checker."""
    return program("promtool", package="prometheus")


@pytest.fixture(scope="session")
def prometheus_program():
    """Prometheus."""
    return program("prometheus", package="prometheus")


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

    def make(**spec):
        """One bench with one budget."""
        folder = tmp_path / f"bench-{len(opened)}"
        folder.mkdir()
        bench = Bench(loop_thread, folder, certificates)
        opened.append(bench)
        return bench.open(**spec)

    yield make
    for bench in opened:
        bench.close()


@pytest.fixture(scope="session")
def parts(loop_thread, certificates, tmp_path_factory):
    """Ledger, sidecar and a controller's port, after calls of every kind that a metric tells of."""
    folder = tmp_path_factory.mktemp("parts")
    bench = Bench(loop_thread, folder, certificates).open()
    budgets = budget(
        WORKFLOW,
        "10.00",
        waitSeconds=2,
        limits=[{"window": "Day", "usd": "10.00"}, {"window": "Total", "usd": "100.00"}],
        ladder=[{"atPercent": 50, "action": "Warn"}],
        unpricedModels={"action": "Allow"},
        models={"denied": ["o1*"]},
    )
    labels = {"aifinops.dev/workflow": WORKFLOW, "aifinops.dev/team": "billing", "aifinops.dev/feature": "mail"}
    identity = {"token_sha256": token_sha256(TOKEN), "role": "sidecar", "holder_prefix": PREFIX, "labels": labels}
    bench.ask("PUT", "/v1/identities", json={"identities": [identity | {"run": "run-1", "namespace": "test"}]})
    spent = budget("spent", "0.000001", enforcement="Report", limits=[{"window": "Day", "usd": "0.000001"}])
    bench.put_budgets(budgets, spent)
    bench.behave(input_tokens=2000, cached_tokens=1500, reasoning_tokens=5)
    sidecar = bench.sidecar()
    trust = ssl.create_default_context(cafile=sidecar.bundle)
    with httpx2.Client(proxy=sidecar.proxy, verify=trust, timeout=20) as client:
        made = Parts(bench, sidecar, client)
        for n in range(3):
            assert made.call(f"hello {n}").status_code == 200
        made.call("no", model="o1-preview")  # denied
        made.call("what", model="made-up-by-somebody")  # let through without a price
        made.unread()
        until(lambda: not sidecar.busy(), "all told")
        made.serve_controller(WORKFLOW)
        made.serve_injector()
        yield made
    bench.close()


@pytest.fixture
def client():
    """Makes HTTP clients that go through a sidecar's explicit proxy and trust its bundle."""
    opened = []

    def make(sidecar):
        """One client."""
        trust = ssl.create_default_context(cafile=sidecar.bundle)
        opened.append(httpx2.Client(proxy=sidecar.proxy, verify=trust, timeout=20))
        return opened[-1]

    yield make
    for made in opened:
        made.close()
