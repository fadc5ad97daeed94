"""Prometheus reads the ledger over TLS, its certificate verified by the Service's name, with the token of a Secret."""

import sys

import pytest

from cluster import kubeconfig
from harness import prometheus
from harness.certificates import Authority
from harness.processes import start
from harness.until import until
from wfb_operator.ledger.metrics_access import MetricsAccess

NAME = "wfb-ledger.wfb-system.svc"


@pytest.fixture
def ledger(tmp_path):
    """A ledger process with a certificate for the Service's name, whose metrics ask for a token; (url, root, token's file)."""
    tls = tmp_path / "tls"
    tls.mkdir()
    authority = Authority.make(tmp_path / "authority")
    issued = authority.server("ledger", (NAME,))
    (tls / "tls.crt").write_bytes(issued.certificate.read_bytes())
    (tls / "tls.key").write_bytes(issued.key.read_bytes())
    (tmp_path / "admin").write_text("admin")
    token = tmp_path / "token"
    token.write_text("first\n")
    command = [sys.executable, "-m", "wfb_operator.ledger.main", "--state", str(tmp_path / "state"), "--tls", str(tls)]
    command += ["--admin-token-file", str(tmp_path / "admin"), "--metrics-token-file", str(token)]
    process = start(command, tmp_path / "ledger.log")
    yield process.ready["url"], authority.root, token
    process.stop()


def job(name, url, root, credentials, server_name=NAME):
    """A scrape as the PodMonitor's endpoint becomes one."""
    return {
        **prometheus.job(name, url.removeprefix("https://")),
        "scheme": "https",
        "tls_config": {"ca_file": str(root), "server_name": server_name},
        "authorization": {"credentials_file": str(credentials)},
    }


def test_only_who_has_the_token_and_verifies_the_name_reads_the_metrics(ledger, prometheus_program, tmp_path):
    """The right token is scraped; a wrong one is refused by the ledger, a wrong name by Prometheus; a new token counts at once."""
    url, root, token = ledger
    wrong = tmp_path / "wrong"
    wrong.write_text("second")
    jobs = [job("right", url, root, token), job("wrong", url, root, wrong), job("name", url, root, token, "other.svc")]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus.running(prometheus_program, folder, jobs) as running:
        until(lambda: running.up().get("right") == "", "the scrape with the token", 30)
        until(lambda: "401" in running.up()["wrong"], "the refusal of another token", 30)
        until(lambda: "certificate is valid for" in running.up()["name"], "the refusal of another name", 30)
        token.write_text("second")
        until(lambda: running.up()["wrong"] == "", "the new token being taken", 30)


def test_the_injector_is_read_where_the_api_server_asks_it(prometheus_program, tmp_path):
    """Over its own TLS, verified by its Service's name, without a token; its version is there."""
    name = "wfb-injector.wfb-system.svc"
    authority = Authority.make(tmp_path / "authority")
    issued = authority.server("injector", (name,))
    (tmp_path / "tls.crt").write_bytes(issued.certificate.read_bytes())
    (tmp_path / "tls.key").write_bytes(issued.key.read_bytes())
    (tmp_path / "settings.yaml").write_text("{image: i, version: v, ledgerURL: 'https://wfb-ledger.wfb-system.svc'}")
    kubeconfig.write(tmp_path / "kubeconfig", "https://127.0.0.1:1", authority.root, issued)  # nobody there is asked
    command = [sys.executable, "-m", "wfb_operator.injector.main", f"--certificate={tmp_path}"]
    command += [f"--settings={tmp_path}/settings.yaml", f"--kubeconfig={tmp_path}/kubeconfig"]
    process = start(command, tmp_path / "injector.log")
    tls = {"scheme": "https", "tls_config": {"ca_file": str(authority.root), "server_name": name}}
    scrape = {**prometheus.job("injector", process.ready["url"].removeprefix("https://")), **tls}
    folder = tmp_path / "prometheus"
    folder.mkdir()
    try:
        with prometheus.running(prometheus_program, folder, [scrape]) as running:
            until(lambda: running.up().get("injector") == "", "the scrape", 30)
            assert running.value('wfb_build_info{component="injector"}') == 1
    finally:
        process.stop()


@pytest.mark.parametrize("text", ["", "two words", "\n"])
def test_a_file_without_a_token_is_refused(tmp_path, text):
    """An empty file must not let in whoever sends an empty token."""
    (tmp_path / "token").write_text(text)
    with pytest.raises(ValueError, match="holds no token"):
        MetricsAccess(str(tmp_path / "token"))


def test_nobody_is_let_in_while_the_token_cannot_be_read(tmp_path):
    """A Secret that is gone or emptied closes the metrics rather than opening them."""
    path = tmp_path / "token"
    path.write_text("t")
    access = MetricsAccess(str(path))
    assert [access.allowed(f"{kind} t") for kind in ("Bearer", "bearer", "Basic")] == [True, True, False]
    assert not access.allowed("")
    path.write_text("")
    assert not access.allowed("Bearer ")
    path.unlink()
    assert not access.allowed("Bearer t")
