"""A pod's traffic under redirection, end to end: real netfilter, the real sidecar as its own user, a real SDK."""

import json
import pathlib
import subprocess
import sys

import pytest

from harness.namespaces import missing


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What an application met in a network namespace with the sidecar beside it."""
    if why := missing():
        pytest.skip(f"redirection is not tried: {why}")
    script = pathlib.Path(__file__).parent / "pod.py"
    folder = tmp_path_factory.mktemp("pod")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    command = ["unshare", "--net", "--mount", "--", sys.executable, str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_call_to_the_real_name_is_metered_and_refused_at_the_limit(seen):
    """The SDK knows nothing of a proxy: its calls are booked for the pod's workflow, and the last one is a 402."""
    *good, last = seen["calls"]
    assert good
    assert set(good) == {"ok"}
    assert last == [402, "BudgetExhausted", "APIStatusError"]
    (row,) = [r for r in seen["rows"] if r["outcome"] == "ok"]
    assert (row["workflow"], row["provider"], row["model"], row["calls"]) == ("pod", "openai", "gpt-4o-mini", len(good))
    assert float(row["usd"]) == float(seen["spent"]) <= 0.0001


def test_a_server_that_speaks_first_is_heard(seen):
    """What waits for its server's first word, on the redirected port, gets it."""
    assert (seen["banner"], seen["echo"]) == ("220 hello\r\n", "got ehlo")


def test_foreign_tls_with_a_client_certificate_passes_untouched(seen):
    """Another authority, and a certificate that only the client has: the server sees it, so nothing was opened."""
    assert seen["foreign"] == "client.test mine"
