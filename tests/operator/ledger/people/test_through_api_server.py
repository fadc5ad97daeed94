"""People read the books through a real API server: who they are comes from it, and what they may from its RBAC."""

import json
import ssl
import urllib.error

import pytest

from harness.people_ledger import ROOT, PeopleLedger, role
from wfb_core.grants import Report
from wfb_core.reasons import LOOP_REFUSED
from wfb_core.wire import Batch, DecisionRecord, Dispatch, UsageRow
from wfb_operator.cli.cluster_books import ClusterBooks
from wfb_operator.cli.state import LedgerError

SPENT = {"billing": 700_000_000, "research": 5_000_000_000}


@pytest.fixture(scope="module")
def books(api_server, tmp_path_factory):
    """Registered, available, and with something to tell."""
    for ns in SPENT:
        api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    found = PeopleLedger(api_server, tmp_path_factory.mktemp("people"))
    try:
        found.register(*role("spend-billing", "anna", "billing"), *role("spend-all", "the-cfo"))
        found.pods(**{ns: {} for ns in SPENT})
        for ns, nanos in SPENT.items():
            row = UsageRow(29_000_000, "openai", "gpt-5", "gpt-5", "ok", False, 1, 0, 10, 0, 0, 5, 0, nanos, nanos)
            loop = DecisionRecord(f"d-{ns}", 1.0, "finding", LOOP_REFUSED, f"{ns} goes round", budget=f"{ns}/b")
            found.report(ns, Dispatch(Report(f"{ns}/1", 1, 1, {}, ()), (Batch(1, (row,), (loop,)),)))
        yield found
    finally:
        found.unregister()


def read(api, user, path):
    """(what kubectl said, whether it succeeded) of a person who has a client certificate and no token."""
    done = api.try_kubectl("get", "--raw", ROOT + path, kubeconfig=api.user(user))
    return (json.loads(done.stdout) if done.returncode == 0 else done.stderr), done.returncode == 0


READS = {
    ("anna", "/namespaces/billing/usage?by=namespace"): ["billing"],
    ("anna", "/namespaces/research/usage?by=namespace"): None,
    ("anna", "/usage?by=namespace"): None,
    ("the-cfo", "/usage?by=namespace"): ["research", "billing"],
    ("the-cfo", "/namespaces/billing/usage?by=namespace"): ["billing"],
    ("nobody-in-particular", "/namespaces/billing/usage?by=namespace"): None,
}


@pytest.mark.parametrize(("asked", "expected"), READS.items(), ids=[" ".join(k) for k in READS])
def test_everyone_reads_what_the_clusters_roles_allow(books, asked, expected):
    """A namespace's reader sees that namespace alone, and only who may list everywhere sees everything."""
    found, succeeded = read(books.api, *asked)
    assert succeeded == (expected is not None), found
    if expected is None:
        assert "forbidden" in found.lower()
    else:
        assert [row["namespace"] for row in found["usage"]] == expected


def test_loops_and_anomalies_are_kept_to_the_namespace_too(books):
    """A namespace's reader sees the loops of its own runs, and what is judged of its own workflows."""
    found, succeeded = read(books.api, "anna", "/namespaces/billing/loops")
    assert succeeded, found
    assert [row["message"] for row in found["loops"]] == ["billing goes round"]
    everything, _ = read(books.api, "the-cfo", "/loops")
    assert {row["namespace"] for row in everything["loops"]} == {"billing", "research"}
    judged, succeeded = read(books.api, "anna", "/namespaces/billing/anomalies")
    assert (succeeded, judged["kind"]) == (True, "AnomaliesList")
    assert not read(books.api, "anna", "/namespaces/research/loops")[1]
    assert not read(books.api, "anna", "/anomalies")[1]


def test_the_api_tells_what_it_has(books):
    """``kubectl api-resources`` lists it, with verbs that let nothing be deleted or watched."""
    told = books.api.kubectl("api-resources", "--api-group=spend.aifinops.dev", "-o", "wide", "--no-headers")
    lines = {line.split()[0]: line for line in told.splitlines()}
    assert sorted(lines) == ["anomalies", "decisions", "loops", "page", "runs", "stages", "summaries", "usage"]
    assert all("delete" not in line and "watch" not in line for line in lines.values())


def test_a_mistake_comes_back_as_a_sentence(books):
    """What is wrong with a query is said through the API server too."""
    said, succeeded = read(books.api, "anna", "/namespaces/billing/usage?by=colour")
    assert not succeeded
    assert "'colour' is none of" in said
    said, succeeded = read(books.api, "anna", "/namespaces/billing/summaries?since=yesterday")
    assert not succeeded
    assert "not a whole number" in said


def test_going_round_the_api_server_opens_nothing(books):
    """Without a certificate there is no connection; an administrator's own, with headers made up, is nobody's."""
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        books.ask_directly()
    mine = books.api.authority.sign("mallory", "mallory", ("system:masters",))
    status, text = books.ask_directly(mine, {"X-Remote-User": "the-cfo", "X-Remote-Group": "system:masters"})
    assert status == 401, text
    assert "not the API server's" in text


def test_the_page_comes_with_the_books(books):
    """Its files are the group's too, for whoever has ``kubectl proxy`` and no ``wfb``."""
    page = books.api.kubectl("get", "--raw", f"{ROOT}/page/index.html")
    assert "<title>Workflow budgets</title>" in page
    missing = books.api.try_kubectl("get", "--raw", f"{ROOT}/page/passwd")
    assert "NotFound" in missing.stderr or "no file" in missing.stderr


def test_the_command_lines_books_are_the_users_own(books):
    """``ClusterBooks`` reads with a kubeconfig's rights, and says who has to be asked where they do not reach."""
    anna = str(books.api.user("anna"))
    found = ClusterBooks(anna, namespace="billing").get("usage", {"by": "namespace"})
    assert [(row["namespace"], row["usd"]) for row in found["usage"]] == [("billing", "0.70")]
    with pytest.raises(LedgerError, match="you may not read the spend of all namespaces"):
        ClusterBooks(anna, everywhere=True).get("usage", {})
