"""`wfb ui` as a new user starts it: the page of what was spent here, and one clear sentence for what cannot be."""

import json
import re
import signal
import sys
import urllib.request
from http.cookiejar import CookieJar

import pytest


def test_the_page_of_this_machines_runs(wfb):
    """The printed address opens the page and its books; Ctrl-C ends it cleanly."""
    ran = wfb.run(
        "run", "--budget", str(wfb.budget()), "--label", "workflow=triage", "--", sys.executable, "-c", "pass"
    )
    assert ran.returncode == 0, ran.stderr
    process = wfb.start("ui", "--no-browser")
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+/\?secret=\S+", process.stdout.readline())[0]
        browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        with browser.open(url, timeout=10) as page:
            assert b"<title>Workflow budgets</title>" in page.read()
        with browser.open(f"{url.partition('?')[0]}api/summaries", timeout=10) as books:
            summary = json.loads(books.read())
        assert [(b["budget"], b["limit_usd"]) for b in summary["budgets"]] == [("billing/triage", "5.00")]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, process.stderr.read()
    finally:
        process.kill()
        process.communicate()


WRONG = {
    "nothing was recorded": ((), "nothing was recorded in"),
    "a namespace and all": (("-n", "billing", "-A"), "exclude each other"),
    "a cluster and a state": (("-A", "--state", "x"), "--state is for runs on this machine"),
    "no port": (("--port", "70000"), "--port 70000 is not a port"),
    "no cluster": (("-A", "--kubeconfig", "missing.yaml"), "no cluster to read the books of"),
}


NO_KUBECONFIGS = {
    "no YAML": "a: [unclosed",
    "a text": "just text",
    "contexts that are none": "{contexts: 5, current-context: x}",
}


@pytest.mark.parametrize("text", NO_KUBECONFIGS.values(), ids=NO_KUBECONFIGS)
def test_a_file_that_is_no_kubeconfig(wfb, text):
    """One sentence that names the file, whatever is in it."""
    (wfb.folder / "kubeconfig").write_text(text)
    ended = wfb.run("ui", "-A", "--no-browser", "--kubeconfig", "kubeconfig")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "kubeconfig is no kubeconfig (" in ended.stderr


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_opened_is_said(wfb, arguments, words):
    """Exit code 2 and a way out, and no page."""
    ended = wfb.run("ui", "--no-browser", *arguments)
    assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr
